import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainFromUuid, domainToUuid, uuid } from '../db/ids.js'
import type { Queryable, Records } from '../db/records.js'
import { reasonOf } from '../db/reason.js'
import { HOLD_COLUMNS, holdRow, type RawHold } from './hold-row.js'
import type { HoldRow } from '../db/terms.js'
import { appendAudit } from '../audit/append-audit.js'
import { lockDomainForHold } from '../fleet/domain-lock.js'

export interface HoldInput {
  /** A whole domain, future files included, or one file. */
  readonly target: { readonly domain: string } | { readonly fileId: string }
  /** The reason; 1 to 2,000 characters. */
  readonly reason: string
  readonly actor: string
}

/**
 * Places a hold, with its row in the audit log, in one transaction. When this returns, no deletion that did not see the
 * hold is in progress; earlier deletions are final.
 * @throws RecordsError NOT_FOUND for an unknown domain or file, BAD_STATE for a file that is already deleted or
 * discarded, INVALID
 */
export async function placeHold(records: Records, input: HoldInput): Promise<HoldRow> {
  const reason = reasonOf(input.reason)
  return records.transaction(async (tx) => {
    const fileId = 'fileId' in input.target ? uuid(input.target.fileId, 'the file id') : null
    const domain = 'domain' in input.target ? input.target.domain : await domainOf(tx, input.target.fileId)
    await lockDomainForHold(tx, domain)
    // Only now: a deletion in progress has ended.
    if (fileId !== null) await assertThere(tx, fileId)
    const [row] = await tx.query<RawHold>(Prisma.sql`
      INSERT INTO holds AS h (id, domain_id, file_id, reason, placed_by)
      VALUES (${randomUUID()}::uuid, ${domainToUuid(domain)}::uuid, ${fileId}::uuid, ${reason}, ${input.actor})
      RETURNING ${HOLD_COLUMNS}`)
    if (row === undefined) throw new TypeError('an INSERT returns its row')
    const hold = holdRow(row)
    await appendAudit(tx, {
      ...subjectOf(hold),
      actor: input.actor,
      action: 'holds.place',
      detail: { hold: hold.id, reason },
    })
    return hold
  })
}

/** The subject of a hold in the audit log. */
export function subjectOf(hold: Pick<HoldRow, 'domain' | 'fileId'>): { subjectKind: string; subjectId: string } {
  return hold.fileId === null
    ? { subjectKind: 'domain', subjectId: hold.domain }
    : { subjectKind: 'file', subjectId: hold.fileId }
}

async function domainOf(tx: Queryable, fileId: string): Promise<string> {
  const where = { id: uuid(fileId, 'the file id') }
  const file = await tx.read((models) => models.file.findUnique({ where, select: { domainId: true } }))
  if (file === null) throw new RecordsError('NOT_FOUND', `no file has the id ${fileId}`)
  return domainFromUuid(file.domainId)
}

async function assertThere(tx: Queryable, fileId: string): Promise<void> {
  const file = await tx.read((models) => models.file.findUnique({ where: { id: fileId }, select: { state: true } }))
  if (file?.state === 'DELETED' || file?.state === 'DISCARDED')
    throw new RecordsError('BAD_STATE', `file ${fileId} is ${file.state} already: there is nothing to hold`, {
      fix: `see what became of it: \`npx sealfleet trace ${fileId}\``,
    })
}

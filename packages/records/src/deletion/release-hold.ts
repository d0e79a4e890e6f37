import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Records } from '../db/records.js'
import { reasonOf } from '../db/reason.js'
import { HOLD_COLUMNS, holdRow, type RawHold } from './hold-row.js'
import type { HoldRow } from '../db/terms.js'
import { appendAudit } from '../audit/append-audit.js'
import { subjectOf } from './place-hold.js'

/**
 * Releases a hold, with its row in the audit log, in one transaction: files that no other hold covers may be deleted
 * again.
 * @param input.reason 1 to 2,000 characters, for the audit log
 * @throws RecordsError NOT_FOUND, BAD_STATE when it was released before, INVALID
 */
export async function releaseHold(
  records: Records,
  input: { readonly id: string; readonly reason: string; readonly actor: string },
): Promise<HoldRow> {
  const id = uuid(input.id, 'the hold’s id')
  const reason = reasonOf(input.reason)
  return records.transaction(async (tx) => {
    const [row] = await tx.query<RawHold>(Prisma.sql`
      UPDATE holds h SET released_at = clock_timestamp(), released_by = ${input.actor}
      WHERE h.id = ${id}::uuid AND h.released_at IS NULL RETURNING ${HOLD_COLUMNS}`)
    if (row === undefined) {
      const known = await tx.read(({ hold }) => hold.findUnique({ where: { id } }))
      if (known === null) throw new RecordsError('NOT_FOUND', `there is no hold ${id}`)
      throw new RecordsError('BAD_STATE', `hold ${id} was released before, by ${String(known.releasedBy)}`)
    }
    const hold = holdRow(row)
    await appendAudit(tx, {
      ...subjectOf(hold),
      actor: input.actor,
      action: 'holds.release',
      detail: { hold: id, reason },
    })
    return hold
  })
}

import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainFromUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { BODY_VERSION, type BodyVersion } from '../operators/request-body.js'
import type { CanonicalObject } from '../operators/canonical-json.js'
import { assertSignedDomain, domainDetail } from '../requests/signed-domain.js'
import type { FileState } from '../db/terms.js'
import { activeHolds } from './active-holds.js'
import { appendAudit } from '../audit/append-audit.js'
import { consumeRequest } from '../operators/consume-request.js'

/** A file that may be shredded now; its row is locked until the transaction ends. */
export interface ShreddableFile {
  readonly id: string
  readonly domain: string
  readonly domainName: string
  readonly source: string
  /** Attempts whose wrapped nonces still exist. */
  readonly attempts: number
}

interface Row {
  readonly state: FileState
  readonly domainId: string
  readonly domainName: string
  readonly detached: boolean
  readonly source: string
  readonly deletion: string | null
}

/** The text that officers sign for shredding a file (kind `file.shred`, subject `file ID`). */
export function shredDetail(
  { domain, domainName, source }: Omit<ShreddableFile, 'attempts'>,
  reason: string,
  version: BodyVersion = BODY_VERSION,
): CanonicalObject {
  return { ...signedOfDomain({ domain, domainName }, version), source, reason }
}

function signedOfDomain({ domain, domainName }: Pick<ShreddableFile, 'domain' | 'domainName'>, version: BodyVersion) {
  return version === 1 ? { domain } : domainDetail({ id: domain, name: domainName })
}

/**
 * Checks that a file may be shredded, and locks its domain against new holds and its row. Allowed are STORED files, and
 * DELETED ones whose wrapped nonces still exist.
 * @throws RecordsError NOT_FOUND; HELD; BAD_STATE: inline nonces, an attempt in progress, never stored, shredded before
 */
export async function lockForShredding(tx: Queryable, fileId: string): Promise<ShreddableFile> {
  const id = uuid(fileId, 'the file id')
  const look = Prisma.sql`
    SELECT f.state::text AS state, f.domain_id::text AS "domainId", d.name AS "domainName", d.nonce_mode = 'DETACHED' AS detached,
      f.source_root || ':' || f.source_path AS source, f.deletion::text AS deletion
    FROM files f JOIN key_domains d ON d.id = f.domain_id WHERE f.id = ${id}::uuid`
  const [before] = await tx.query<Row>(look)
  if (before === undefined) throw new RecordsError('NOT_FOUND', `there is no file ${id}`)
  if (!before.detached) throw inlineNonces(id)
  const domain = domainFromUuid(before.domainId)
  const [hold, ...more] = await activeHolds(tx, { domain, fileId: id })
  if (hold !== undefined) {
    const others = more.length === 0 ? '' : ` (and ${more.length} more)`
    const on = hold.fileId === null ? `its domain ${domain}` : 'it'
    throw new RecordsError('HELD', `file ${id} cannot be shredded: a hold is on ${on}: ${hold.reason}${others}`, {
      fix: `ask ${hold.placedBy}, who placed it; nothing goes before it is released`,
    })
  }
  await tx.query(Prisma.sql`SELECT 1 AS locked FROM files WHERE id = ${id}::uuid FOR UPDATE`)
  const [file] = await tx.query<Row>(look)
  const [counted] = await tx.query<{ attempts: number; sealing: boolean }>(Prisma.sql`
    SELECT (SELECT count(*)::int FROM attempts WHERE file_id = ${id}::uuid AND wrapped_nonces IS NOT NULL) AS attempts,
      EXISTS (SELECT FROM rekey_items WHERE file_id = ${id}::uuid AND state = 'RUNNING') AS sealing`)
  const { attempts, sealing } = counted ?? { attempts: 0, sealing: false }
  const { state, source, deletion, domainName } = file ?? before
  if (state === 'RUNNING' || sealing) throw refused(id, 'is being sealed', 'wait until that has ended, then ask again')
  if (state !== 'STORED' && state !== 'DELETED') {
    throw refused(id, `is ${state}: nothing of it is kept`, 'a queued or dead file is discarded, not shredded')
  }
  if (state === 'DELETED' && (deletion === 'SHREDDED' || attempts === 0)) {
    throw refused(id, 'is shredded already', 'nothing is left to do')
  }
  return { id, domain, domainName, source, attempts }
}

export interface ShredInput {
  readonly fileId: string
  /** Signed by officers; its detail holds the reason. */
  readonly requestId: string
  readonly reason: string
  readonly shreddedBy: string
}

/**
 * Shreds a file of detached nonces, inside the caller's transaction: deletes the wrapped nonces of all of its attempts,
 * however they ended, and makes the file DELETED as SHREDDED. The audit log has a row. Its objects are left for the
 * sweep; they cannot be opened. Earlier copies of the database are not affected.
 * @throws RecordsError as lockForShredding and consumeRequest throw
 */
export async function shredFile(tx: Queryable, input: ShredInput): Promise<ShreddableFile> {
  const { requestId, reason, shreddedBy } = input
  const file = await lockForShredding(tx, input.fileId)
  const { id, attempts } = file
  const subject = { kind: 'file', id }
  const request = await consumeRequest(tx, {
    id: requestId,
    kind: 'file.shred',
    subject,
    consumedBy: shreddedBy,
    detail: (signed) => {
      assertSignedDomain(signed, { id: file.domain, name: file.domainName })
      return shredDetail(file, reason, signed.version)
    },
  })
  await tx.query(Prisma.sql`
    UPDATE attempts SET wrapped_nonces = NULL, nonce_enc = NULL, nonce_sig = NULL, shredded_at = clock_timestamp()
    WHERE file_id = ${id}::uuid AND shredded_at IS NULL RETURNING id`)
  await tx.query(Prisma.sql`
    UPDATE files SET state = 'DELETED', deletion = 'SHREDDED', deleted_at = coalesce(deleted_at, clock_timestamp()),
      deleted_by = coalesce(deleted_by, ${shreddedBy})
    WHERE id = ${id}::uuid RETURNING id`)
  const audit = { reason, request: requestId, attempts, ...signedOfDomain(file, request.version) }
  await appendAudit(tx, { actor: shreddedBy, action: 'files.shred', subjectKind: 'file', subjectId: id, detail: audit })
  return file
}

function inlineNonces(id: string): RecordsError {
  const why =
    'its nonces are in the header of its object, so forgetting those of the record would take nothing from anybody'
  return new RecordsError('BAD_STATE', `file ${id} is of a domain with inline nonces: ${why}`, {
    fix: 'remove the file; only destroying its master key makes such an object unreadable',
  })
}

function refused(id: string, why: string, fix: string): RecordsError {
  return new RecordsError('BAD_STATE', `file ${id} ${why}`, { fix })
}

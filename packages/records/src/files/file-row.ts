import { Prisma, type File } from '../generated/client.js'
import { domainFromUuid } from '../db/ids.js'
import { bytesOf, numberOf, textOf } from '../rows/damaged.js'
import type { FileRow } from '../db/terms.js'

/** Columns of `f` under the names below. */
export const FILE_COLUMNS = Prisma.raw(`
  f.id, f.domain_id AS "domainId", f.state::text AS state, f.source_root AS "sourceRoot", f.source_path AS "sourcePath",
  f.context, f.fingerprint, f.generation, f.batch_id AS "batchId", f.last_attempt_no AS "lastAttemptNo", f.crashes,
  f.lease_owner AS "leaseOwner", f.lease_expires_at AS "leaseExpiresAt", f.committed_attempt_id AS "committedAttemptId",
  f.last_failure_code AS "lastFailureCode", f.last_failure_at AS "lastFailureAt", f.next_try_at AS "nextTryAt",
  f.accepted_at AS "acceptedAt", f.updated_at AS "updatedAt", f.stored_at AS "storedAt", f.deleted_at AS "deletedAt", f.deleted_by AS "deletedBy",
  f.deletion::text AS deletion, f.swept_at AS "sweptAt"`)

/** As Prisma reads it, and as FILE_COLUMNS name it. */
export type RawFile = Readonly<Omit<File, 'committedState'>>

const MAX_CONTEXT = 1024

/** @throws RecordsError RECORD_DAMAGED: the row breaks the constraints */
export function fileRow(raw: RawFile): FileRow {
  const { leaseOwner, leaseExpiresAt, lastFailureCode, lastFailureAt, deletedAt, deletedBy, deletion } = raw
  return {
    id: raw.id,
    domain: domainFromUuid(raw.domainId),
    state: raw.state,
    source: {
      root: textOf(raw.sourceRoot, raw.id, 'files.source_root'),
      path: textOf(raw.sourcePath, raw.id, 'files.source_path'),
    },
    context: bytesOf(raw.context, { fileId: raw.id, column: 'files.context', most: MAX_CONTEXT }),
    fingerprint: bytesOf(raw.fingerprint, { fileId: raw.id, column: 'files.fingerprint', length: 32 }),
    generation: numberOf(raw.generation, { fileId: raw.id, column: 'files.generation', from: 1 }),
    batchId: raw.batchId,
    lastAttemptNo: raw.lastAttemptNo,
    crashes: raw.crashes,
    lease: leaseOwner !== null && leaseExpiresAt !== null ? { owner: leaseOwner, expiresAt: leaseExpiresAt } : null,
    committedAttemptId: raw.committedAttemptId,
    lastFailure:
      lastFailureCode !== null && lastFailureAt !== null ? { code: lastFailureCode, at: lastFailureAt } : null,
    nextTryAt: raw.state === 'QUEUED' ? raw.nextTryAt : null,
    acceptedAt: raw.acceptedAt,
    updatedAt: raw.updatedAt,
    storedAt: raw.storedAt,
    deletion:
      deletion !== null && deletedAt !== null && deletedBy !== null
        ? { kind: deletion, at: deletedAt, by: deletedBy, sweptAt: raw.sweptAt }
        : null,
  }
}

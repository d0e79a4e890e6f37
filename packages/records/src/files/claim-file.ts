import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainFromUuid, domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { closeDeadWorkersAttempt, WORKER_DIED } from '../attempts/worker-death.js'
import { FILE_COLUMNS, fileRow, type RawFile } from './file-row.js'
import type { DomainPolicy, FileRow } from '../db/terms.js'
import { domainPolicy, type RawPolicy } from '../fleet/domains.js'
import type { FileRequest } from './accept-files.js'

/** The request is part of a claim, so that a job that came straight into Redis is accepted by its first claim. */
export interface ClaimInput extends FileRequest {
  /** The claimant: worker and activation of the job. Two activations never share one. */
  readonly owner: string
  readonly leaseSeconds: number
}

export type ClaimOutcome =
  | {
      readonly outcome: 'claimed'
      readonly attemptNo: number
      /** Claims of this generation that ended without an outcome (their lease ran out). */
      readonly crashes: number
      readonly domain: DomainPolicy
      readonly file: FileRow
    }
  /** Claimed, but the row breaks the constraints: end the claim with the error. */
  | {
      readonly outcome: 'damaged'
      readonly attemptNo: number
      readonly generation: number
      readonly crashes: number
      readonly domain: DomainPolicy
      readonly error: RecordsError
    }
  /** No work is left. */
  | { readonly outcome: 'stored' | 'dead' | 'discarded' | 'deleted'; readonly file: FileRow }
  /** Another owner's lease; it ends in this many milliseconds unless it is renewed. */
  | { readonly outcome: 'leased'; readonly expiresInMs: number; readonly file: FileRow }
  /** The id belongs to another request. That file is unchanged. */
  | { readonly outcome: 'conflict'; readonly file: FileRow }
  /** The job is not of the file's present generation: a stale hint. */
  | { readonly outcome: 'superseded-generation'; readonly file: FileRow }
  /** No such key domain; no row was written. */
  | { readonly outcome: 'unknown-domain' }

interface Row extends RawFile, RawPolicy {
  readonly claimed: boolean
  readonly sameRequest: boolean
  readonly expiresInMs: number | null
}

/**
 * Claims a file in one statement: attempt number + 1, RUNNING, a lease by the database's clock. Only from QUEUED, or
 * from RUNNING when the lease has run out. That counts as a crash: the earlier attempt is closed as WORKER_DIED, and
 * the file's history names the worker.
 * @throws RecordsError RECORD_DAMAGED for a row that was not claimed and breaks the constraints; NO_ACTIVE_KEY when
 * even the default domain does not exist yet; INVALID
 */
export async function claimFile(db: Queryable, input: ClaimInput): Promise<ClaimOutcome> {
  // A file that another session accepted during our statement is visible to its insert, not to its answer.
  for (let round = 0; round < 5; round++) {
    const row = await claim(db, input)
    if (row === 'unknown-domain') return { outcome: row }
    if (row !== undefined) return outcomeOf(row, input)
  }
  throw new RecordsError('DB_UNAVAILABLE', 'others keep writing the same file; try again')
}

function outcomeOf(row: Row, input: ClaimInput): ClaimOutcome {
  const file = fileOf(row)
  if (file instanceof RecordsError) {
    if (!row.claimed) throw file
    const { lastAttemptNo: attemptNo, generation, crashes } = row
    return { outcome: 'damaged', attemptNo, generation, crashes, domain: domainPolicy(row), error: file }
  }
  if (row.claimed)
    return {
      outcome: 'claimed',
      attemptNo: file.lastAttemptNo,
      crashes: file.crashes,
      domain: domainPolicy(row),
      file,
    }
  if (!row.sameRequest) return { outcome: 'conflict', file }
  if (file.generation !== (input.generation ?? 1)) return { outcome: 'superseded-generation', file }
  switch (file.state) {
    case 'STORED':
      return { outcome: 'stored', file }
    case 'DEAD':
      return { outcome: 'dead', file }
    case 'DISCARDED':
      return { outcome: 'discarded', file }
    case 'DELETED':
      return { outcome: 'deleted', file }
    // QUEUED: the file was released during our statement; the job may come again at once.
    case 'QUEUED':
      return { outcome: 'leased', expiresInMs: 0, file }
    case 'RUNNING':
      return { outcome: 'leased', expiresInMs: Math.max(0, row.expiresInMs ?? 0), file }
  }
}

function fileOf(row: Row): FileRow | RecordsError {
  try {
    return fileRow(row)
  } catch (error) {
    if (error instanceof RecordsError) return error
    throw error
  }
}

async function claim(db: Queryable, input: ClaimInput): Promise<Row | 'unknown-domain' | undefined> {
  const id = uuid(input.fileId, 'the file id')
  const domainId = domainToUuid(input.domain)
  const generation = input.generation ?? 1
  const lease = Prisma.sql`clock_timestamp() + make_interval(secs => ${input.leaseSeconds}::float8)`
  const rows = await unlessDomainUnknown(
    domainId,
    db.query<Row>(Prisma.sql`
    WITH before AS MATERIALIZED (
      SELECT lease_owner AS owner, last_attempt_no AS attempt_no FROM files WHERE id = ${id}::uuid AND state = 'RUNNING'
    ), claimed AS (
      INSERT INTO files AS f (id, domain_id, source_root, source_path, context, fingerprint, batch_id, generation,
        state, last_attempt_no, lease_owner, lease_expires_at)
      VALUES (${id}::uuid, ${domainId}::uuid, ${input.source.root}, ${input.source.path},
        ${Buffer.from(input.context)}, ${Buffer.from(input.fingerprint)}, ${input.batchId ?? null}::uuid, ${generation}::int,
        'RUNNING', 1, ${input.owner}, ${lease})
      ON CONFLICT (id) DO UPDATE SET
        state = 'RUNNING', last_attempt_no = f.last_attempt_no + 1,
        crashes = f.crashes + CASE WHEN f.state = 'RUNNING' THEN 1 ELSE 0 END,
        lease_owner = ${input.owner}, lease_expires_at = ${lease},
        last_failure_code = CASE WHEN f.state = 'RUNNING' THEN ${WORKER_DIED} ELSE f.last_failure_code END,
        last_failure_at = CASE WHEN f.state = 'RUNNING' THEN clock_timestamp() ELSE f.last_failure_at END
      WHERE f.fingerprint = EXCLUDED.fingerprint AND f.generation = EXCLUDED.generation
        AND (f.state = 'QUEUED' OR (f.state = 'RUNNING' AND f.lease_expires_at <= clock_timestamp()))
      RETURNING f.*
    ), died AS (
      SELECT c.id AS file_id, b.attempt_no, c.generation, b.owner FROM claimed c JOIN before b ON b.attempt_no = c.last_attempt_no - 1
    ), ${closeDeadWorkersAttempt()}, seen AS (
      SELECT true AS claimed, c.* FROM claimed c
      UNION ALL
      SELECT false AS claimed, f.* FROM files f WHERE f.id = ${id}::uuid AND NOT EXISTS (SELECT FROM claimed)
    )
    SELECT f.claimed, f.fingerprint = ${Buffer.from(input.fingerprint)} AS "sameRequest", ${FILE_COLUMNS},
      (extract(epoch FROM f.lease_expires_at - clock_timestamp()) * 1000)::float8 AS "expiresInMs",
      d.name AS "domainName", d.suite AS "domainSuite", d.nonce_mode::text AS "domainNonceMode",
      d.seg_log2 AS "domainSegLog2", d.rotation_days AS "domainRotationDays", d.retention_days AS "domainRetentionDays"
    FROM seen f JOIN key_domains d ON d.id = f.domain_id`),
  )
  return rows === 'unknown-domain' ? rows : rows[0]
}

async function unlessDomainUnknown(domainId: string, rows: Promise<Row[]>): Promise<Row[] | 'unknown-domain'> {
  try {
    return await rows
  } catch (error) {
    if (!(error instanceof RecordsError) || error.constraint !== 'files_domain_id_fkey') throw error
    if (domainFromUuid(domainId) !== 'default') return 'unknown-domain'
    throw new RecordsError('NO_ACTIVE_KEY', 'the default key domain does not exist yet', {
      cause: error,
      fix: 'make its keys with `npx sealfleet keys init`',
    })
  }
}

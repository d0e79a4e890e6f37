import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { DomainPolicy } from '../db/terms.js'
import { closeDeadWorkersAttempt, WORKER_DIED } from '../attempts/worker-death.js'
import { domainPolicy, type RawPolicy } from '../fleet/domains.js'
import type { RekeyItemState } from './rekey-runs.js'

export interface RekeyClaim {
  readonly itemId: string
  readonly runId: string
  readonly fileId: string
  /** The file's next attempt number, taken for this try. */
  readonly attemptNo: number
  /** The committed attempt to be superseded. */
  readonly oldAttemptId: string
  /** Failures of this item so far, expired leases included. */
  readonly tries: number
  readonly domain: DomainPolicy
}

export type RekeyClaimOutcome =
  | ({ readonly outcome: 'claimed' } & RekeyClaim)
  /** The item has ended, perhaps just now: the file is no longer STORED, or not under that version. */
  | { readonly outcome: 'over'; readonly state: RekeyItemState }
  /** The run is paused, cancelled or done. A paused one gives the item a job again when it is resumed. */
  | { readonly outcome: 'halted' }
  /**
   * Another worker has the item, or the file in another run; its lease ends in this many milliseconds unless it is
   * renewed.
   */
  | { readonly outcome: 'leased'; readonly expiresInMs: number }
  | { readonly outcome: 'unknown' }

/** Milliseconds until the next try of a file that another run is re-encrypting. */
const OTHER_RUN_MS = 5_000

interface Row extends RawPolicy {
  readonly id: string
  readonly runId: string
  readonly fileId: string
  readonly state: RekeyItemState
  readonly halted: boolean
  readonly leased: boolean
  readonly expiresInMs: number | null
  readonly tries: number
  readonly attemptNo: number | null
  readonly oldAttemptId: string | null
  readonly skipped: boolean
}

/**
 * Claims an item in one statement: RUNNING, a lease by the database's clock, and the file's next attempt number. Only
 * from QUEUED or from RUNNING with an expired lease (which counts as a try), only in an ACTIVE run, and only while the
 * file is STORED by an attempt under the run's version. Otherwise no work is left, and the item is SKIPPED.
 */
export async function claimRekeyItem(
  db: Queryable,
  input: { readonly itemId: string; readonly owner: string; readonly leaseSeconds: number },
): Promise<RekeyClaimOutcome> {
  const itemId = uuid(input.itemId, 'the item’s id')
  try {
    const [row] = await claim(db, { ...input, itemId })
    return row === undefined ? { outcome: 'unknown' } : outcomeOf(row)
  } catch (error) {
    // One re-encryption of a file at a time: another run's item has it.
    if (error instanceof RecordsError && error.constraint === 'rekey_items_one_running')
      return { outcome: 'leased', expiresInMs: OTHER_RUN_MS }
    throw error
  }
}

function outcomeOf(row: Row): RekeyClaimOutcome {
  const { id, runId, fileId, attemptNo, oldAttemptId, tries } = row
  if (attemptNo !== null && oldAttemptId !== null)
    return { outcome: 'claimed', itemId: id, runId, fileId, attemptNo, oldAttemptId, tries, domain: domainPolicy(row) }
  if (row.skipped) return { outcome: 'over', state: 'SKIPPED' }
  if (row.state !== 'QUEUED' && row.state !== 'RUNNING') return { outcome: 'over', state: row.state }
  // Neither leased nor halted: it lost a race for the file's row and is tried again at once.
  if (row.leased || !row.halted) return { outcome: 'leased', expiresInMs: Math.max(0, row.expiresInMs ?? 0) }
  return { outcome: 'halted' }
}

function claim(
  db: Queryable,
  { itemId, owner, leaseSeconds }: { readonly itemId: string; readonly owner: string; readonly leaseSeconds: number },
): Promise<Row[]> {
  return db.query<Row>(Prisma.sql`
    WITH item AS MATERIALIZED (
      SELECT i.*, r.from_version, r.domain_id, r.state <> 'ACTIVE' AS halted,
        (i.state = 'RUNNING' AND i.lease_expires_at > clock_timestamp()) AS leased
      FROM rekey_items i JOIN rekey_runs r ON r.id = i.run_id WHERE i.id = ${itemId}::uuid FOR UPDATE OF i
    ), open AS MATERIALIZED (
      SELECT * FROM item WHERE state IN ('QUEUED', 'RUNNING') AND NOT halted AND NOT leased
    ), fit AS MATERIALIZED (
      SELECT f.id, a.id AS old FROM open o JOIN files f ON f.id = o.file_id
        JOIN attempts a ON a.id = f.committed_attempt_id
        JOIN master_keys e ON e.id = a.enc_key_id JOIN master_keys s ON s.id = a.sig_key_id
      WHERE f.state = 'STORED' AND o.from_version IN (e.version, s.version)
      FOR UPDATE OF f
    ), numbered AS (
      UPDATE files f SET last_attempt_no = f.last_attempt_no + 1 FROM fit WHERE f.id = fit.id
      RETURNING f.id, f.last_attempt_no, fit.old
    ), claimed AS (
      UPDATE rekey_items i SET state = 'RUNNING', lease_owner = ${owner},
        lease_expires_at = clock_timestamp() + make_interval(secs => ${leaseSeconds}::float8),
        failure_code = CASE WHEN i.state = 'RUNNING' THEN ${WORKER_DIED} ELSE i.failure_code END,
        attempt_no = n.last_attempt_no, attempt_id = NULL, tries = i.tries + CASE WHEN i.state = 'RUNNING' THEN 1 ELSE 0 END
      FROM open o, numbered n WHERE i.id = o.id AND n.id = i.file_id
      RETURNING i.id, i.tries, n.last_attempt_no, n.old
    ), died AS (
      SELECT o.file_id, o.attempt_no, f.generation, o.lease_owner AS owner
      FROM open o JOIN claimed c ON c.id = o.id JOIN files f ON f.id = o.file_id WHERE o.state = 'RUNNING'
    ), ${closeDeadWorkersAttempt()}, skipped AS (
      UPDATE rekey_items i SET state = 'SKIPPED', lease_owner = NULL, lease_expires_at = NULL, ended_at = clock_timestamp()
      FROM open o WHERE i.id = o.id AND NOT EXISTS (SELECT FROM fit)
      RETURNING i.id
    ), put_back AS (
      -- Anyone who resumes the run finds it due at once.
      UPDATE rekey_items i SET not_before = clock_timestamp() FROM item WHERE i.id = item.id AND item.halted AND item.state = 'QUEUED'
      RETURNING i.id
    )
    SELECT item.id, item.run_id AS "runId", item.file_id AS "fileId", item.state::text AS state, item.halted, item.leased,
      (extract(epoch FROM item.lease_expires_at - clock_timestamp()) * 1000)::float8 AS "expiresInMs",
      coalesce(c.tries, item.tries) AS tries, c.last_attempt_no AS "attemptNo", c.old AS "oldAttemptId",
      EXISTS (SELECT FROM skipped) AS skipped, d.id AS "domainId", d.name AS "domainName", d.suite AS "domainSuite",
      d.nonce_mode::text AS "domainNonceMode", d.seg_log2 AS "domainSegLog2"
    FROM item JOIN key_domains d ON d.id = item.domain_id LEFT JOIN claimed c ON c.id = item.id`)
}

import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { WORKER_DIED } from '../attempts/worker-death.js'
import type { RekeyLease } from './renew-rekey-lease.js'

export interface EndRekeyInput extends RekeyLease {
  /** From the closed list of packages/queue. */
  readonly code: string
  readonly class: string
  /** Free of secrets; cut at 2,000 characters. */
  readonly message: string
  /** retry: counts as a try, again later. fail: final. release: again later, does not count. */
  readonly disposition: 'retry' | 'fail' | 'release'
  /** Seconds until the next try, at least. */
  readonly delaySeconds: number
}

/**
 * Ends a claim of an item without success, in one statement. Its attempt, if it was opened, becomes FAILED (ABANDONED
 * on release), so that a sweep removes its data; the item is dispatched again, or is FAILED; a failure that counts goes
 * into the file's history. The file itself is not changed: it stays STORED. The lease may have run out, unless another
 * owner has taken the item. Idempotent.
 * @returns fenced when the item has another owner by now; then no row was written
 */
export async function endRekeyItem(db: Queryable, input: EndRekeyInput): Promise<'recorded' | 'fenced'> {
  const { disposition, code } = input
  const message = input.message.replaceAll('\0', '').slice(0, 2_000)
  const released = disposition === 'release'
  const failed = disposition === 'fail'
  const [row] = await db.query<{ recorded: boolean }>(Prisma.sql`
    WITH held AS MATERIALIZED (
      SELECT i.id, i.file_id, f.generation FROM rekey_items i JOIN files f ON f.id = i.file_id
      WHERE i.id = ${uuid(input.itemId, 'the item’s id')}::uuid AND i.state = 'RUNNING' AND i.lease_owner = ${input.owner}
        AND i.attempt_no = ${input.attemptNo}::int
      FOR UPDATE OF i
    ), ended AS (
      UPDATE attempts a SET state = CASE WHEN ${released} THEN 'ABANDONED' ELSE 'FAILED' END::attempt_state,
        failure_code = ${code}, ended_at = clock_timestamp()
      FROM held WHERE a.file_id = held.file_id AND a.attempt_no = ${input.attemptNo}::int AND a.state = 'OPEN'
      RETURNING a.id
    ), noted AS (
      INSERT INTO failures (file_id, attempt_no, attempt_id, generation, owner, code, class, message, disposition)
      SELECT held.file_id, ${input.attemptNo}::int, (SELECT id FROM ended), held.generation, ${input.owner}, ${code},
        ${input.class}, ${message}, ${released ? 'RELEASE' : 'RETRY'}::disposition
      FROM held
    ), moved AS (
      UPDATE rekey_items i SET state = CASE WHEN ${failed} THEN 'FAILED' ELSE 'QUEUED' END::rekey_item_state,
        tries = i.tries + CASE WHEN ${released} THEN 0 ELSE 1 END, lease_owner = NULL, lease_expires_at = NULL,
        failure_code = ${code}, ended_at = CASE WHEN ${failed} THEN clock_timestamp() END,
        not_before = clock_timestamp() + make_interval(secs => ${input.delaySeconds}::float8)
      FROM held WHERE i.id = held.id
      RETURNING i.id
    )
    SELECT EXISTS (SELECT FROM moved) OR EXISTS (
      SELECT FROM rekey_items i JOIN failures x ON x.file_id = i.file_id WHERE i.id = ${input.itemId}::uuid
        AND x.attempt_no = ${input.attemptNo}::int AND x.owner = ${input.owner} AND x.code <> ${WORKER_DIED}) AS recorded`)
  return row?.recorded === true ? 'recorded' : 'fenced'
}

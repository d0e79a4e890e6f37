import { randomUUID } from 'node:crypto'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { WORKER_DIED } from './worker-death.js'
import type { Disposition } from '../db/terms.js'
import type { LeaseInput } from './renew-lease.js'

export interface FailInput extends LeaseInput {
  /** For the history, if the attempt had an id but its row was never written. */
  readonly attemptId?: string | undefined
  /** From the closed list of packages/queue. */
  readonly code: string
  readonly class: string
  /** Free of secrets; cut at 2,000 characters. */
  readonly message: string
  readonly disposition: Disposition
  /** Milliseconds until the next try; default 0. */
  readonly retryInMs?: number | undefined
  /** The owner of a dead letter of this kind, if known. */
  readonly deadLetterOwner?: string | undefined
}

/**
 * Ends a claim without success, in one statement. The attempt's row (if it was opened) becomes FAILED, or ABANDONED on
 * release; the failure goes into the file's history; the file goes back to the queue, or is dead with a dead letter.
 * The lease may have run out, unless another owner has taken the file. Idempotent.
 * @returns fenced when the file has another owner by now; then no row was written
 */
export async function failAttempt(db: Queryable, input: FailInput): Promise<'recorded' | 'fenced'> {
  const fileId = uuid(input.fileId, 'the file id')
  const disposition = input.disposition.toUpperCase()
  const message = input.message.replaceAll('\0', '').slice(0, 2_000)
  const retryInS = (input.retryInMs ?? 0) / 1000
  const [row] = await db.query<{ recorded: boolean }>(Prisma.sql`
    WITH held AS MATERIALIZED (
      SELECT id, generation, domain_id FROM files
      WHERE id = ${fileId}::uuid AND state = 'RUNNING' AND lease_owner = ${input.owner}
        AND last_attempt_no = ${input.attemptNo}::int
      FOR UPDATE
    ), ended AS (
      UPDATE attempts a SET state = CASE WHEN ${disposition} = 'RELEASE' THEN 'ABANDONED' ELSE 'FAILED' END::attempt_state,
        failure_code = ${input.code}, ended_at = clock_timestamp()
      FROM held WHERE a.file_id = held.id AND a.attempt_no = ${input.attemptNo}::int AND a.state = 'OPEN'
      RETURNING a.id
    ), noted AS (
      INSERT INTO failures (file_id, attempt_no, attempt_id, generation, owner, code, class, message, disposition)
      SELECT held.id, ${input.attemptNo}::int, coalesce((SELECT id FROM ended), ${input.attemptId ?? null}::uuid),
        held.generation, ${input.owner}, ${input.code}, ${input.class}, ${message}, ${disposition}::disposition
      FROM held
    ), lettered AS (
      INSERT INTO dead_letters (id, file_id, generation, domain_id, code, class, reason, owner)
      SELECT ${randomUUID()}::uuid, held.id, held.generation, held.domain_id, ${input.code}, ${input.class}, ${message},
        ${input.deadLetterOwner ?? null}
      FROM held WHERE ${disposition} = 'DEAD'
    ), moved AS (
      UPDATE files f SET state = CASE WHEN ${disposition} = 'DEAD' THEN 'DEAD' ELSE 'QUEUED' END::file_state,
        lease_owner = NULL, lease_expires_at = NULL, last_failure_code = ${input.code}, last_failure_at = clock_timestamp(),
        next_try_at = CASE WHEN ${disposition} <> 'DEAD' THEN clock_timestamp() + make_interval(secs => ${retryInS}::float8) END
      FROM held WHERE f.id = held.id
      RETURNING f.id
    )
    SELECT EXISTS (SELECT FROM moved) OR EXISTS (
      SELECT FROM failures x WHERE x.file_id = ${fileId}::uuid AND x.attempt_no = ${input.attemptNo}::int
        AND x.owner = ${input.owner} AND x.code <> ${WORKER_DIED}) AS recorded`)
  return row?.recorded === true ? 'recorded' : 'fenced'
}

import { Prisma } from '../generated/client.js'

/** The code of an attempt whose lease ran out: its worker died or hung (packages/queue has the list). */
export const WORKER_DIED = 'WORKER_DIED'

/**
 * Common table expressions after one named `died` (file_id, attempt_no, generation, owner): they close its attempt, if
 * one was opened, and write the worker into the file's history. This counts as no attempt: crashes are counted
 * separately.
 *
 * Owners are `<worker>/<activation>`. Host and process of a worker are known while its row is kept.
 */
export function closeDeadWorkersAttempt(): Prisma.Sql {
  return Prisma.sql`closed AS (
      UPDATE attempts a SET state = 'ABANDONED', failure_code = ${WORKER_DIED}, ended_at = clock_timestamp()
      FROM died WHERE a.file_id = died.file_id AND a.attempt_no = died.attempt_no AND a.state = 'OPEN'
    ), mourned AS (
      INSERT INTO failures (file_id, attempt_no, attempt_id, generation, owner, code, class, message, disposition)
      SELECT died.file_id, died.attempt_no, a.id, died.generation, died.owner, ${WORKER_DIED}, 'control',
        'the lease ran out: ' || CASE WHEN w.id IS NULL THEN 'worker ' || split_part(died.owner, '/', 1)
          ELSE 'process ' || w.pid || ' on ' || w.host || ', last heard of at '
            || to_char(w.heartbeat_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || ',' END || ' died or stood still',
        'RELEASE'::disposition
      FROM died LEFT JOIN attempts a ON a.file_id = died.file_id AND a.attempt_no = died.attempt_no
        LEFT JOIN workers w ON w.id = split_part(died.owner, '/', 1)
    )`
}

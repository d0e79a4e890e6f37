import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import { reasonOf } from '../db/reason.js'
import type { Queryable } from '../db/records.js'
import { getDeadLetter } from './dead-letters.js'

export interface ResolveInput {
  /** the dead letter */
  readonly id: string
  /** The actor, for the letter and the audit log. */
  readonly actor: string
  /** The reason; 1 to 2,000 characters. A replay needs none. */
  readonly reason?: string | undefined
}

/**
 * Why a letter was not changed. `resolved`: it is no longer open; `refused-request`: there is no dead file to replay,
 * only a refused request; `not-dead`: the letter's file is not DEAD.
 */
export type Unresolvable = 'resolved' | 'refused-request' | 'not-dead'

/** `done`: the file's new generation (after a discard: the old one), and no file for a refused request. */
export type ResolveOutcome =
  | { readonly outcome: 'done'; readonly fileId: string | null; readonly generation: number }
  | { readonly outcome: Unresolvable; readonly fileId: string | null }

/**
 * Gives a dead file back to the queue, in one statement: the file is QUEUED in a new generation (a fresh count of
 * attempts; attempt numbers continue), its letter REPLAYED, and the audit log has a row. The caller adds the new
 * generation's job; until then the file is one whose job was lost. The file's row is locked before the letter's, as
 * where letters are written.
 * @throws RecordsError NOT_FOUND, INVALID
 */
export async function replayDeadLetter(db: Queryable, input: ResolveInput): Promise<ResolveOutcome> {
  const id = uuid(input.id, 'the dead letter’s id')
  const reason = input.reason === undefined ? null : reasonOf(input.reason)
  const [row] = await db.query<{ fileId: string; generation: number }>(Prisma.sql`
    WITH dead AS MATERIALIZED (
      SELECT id FROM files WHERE id = (SELECT file_id FROM dead_letters WHERE id = ${id}::uuid) AND state = 'DEAD'
      FOR UPDATE
    ), letter AS MATERIALIZED (
      SELECT d.id, d.file_id, d.code FROM dead_letters d JOIN dead ON d.file_id = dead.id
      WHERE d.id = ${id}::uuid AND d.state = 'OPEN' AND d.job_id IS NULL
      FOR UPDATE OF d
    ), resolved AS (
      UPDATE dead_letters d SET state = 'REPLAYED', resolved_at = clock_timestamp(), resolved_by = ${input.actor},
        resolution = ${reason}
      FROM letter WHERE d.id = letter.id
    ), moved AS (
      UPDATE files f SET state = 'QUEUED', generation = f.generation + 1, crashes = 0
      FROM letter WHERE f.id = letter.file_id
      RETURNING f.id, f.generation, letter.code
    ), noted AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT ${input.actor}, 'dlq.replay', 'file', moved.id::text, jsonb_build_object(
        'letter', ${id}::text, 'code', moved.code, 'generation', moved.generation, 'reason', ${reason}::text)
      FROM moved
    )
    SELECT id::text AS "fileId", generation FROM moved`)
  return row === undefined ? await whyNot(db, id) : { outcome: 'done', ...row }
}

/**
 * Closes a dead letter for good, in one statement: letter and dead file are DISCARDED, the audit log has a row. A
 * refused request has no dead file: only its letter is closed, and a file that it named is unchanged.
 * @throws RecordsError NOT_FOUND, INVALID
 */
export async function discardDeadLetter(
  db: Queryable,
  input: ResolveInput & { readonly reason: string },
): Promise<ResolveOutcome> {
  const id = uuid(input.id, 'the dead letter’s id')
  const reason = reasonOf(input.reason)
  const [row] = await db.query<{ fileId: string | null; generation: number }>(Prisma.sql`
    WITH dead AS MATERIALIZED (
      SELECT id FROM files WHERE id = (SELECT file_id FROM dead_letters WHERE id = ${id}::uuid AND job_id IS NULL)
        AND state = 'DEAD'
      FOR UPDATE
    ), letter AS MATERIALIZED (
      SELECT d.id, d.file_id, d.job_id, d.code, d.generation FROM dead_letters d
      WHERE d.id = ${id}::uuid AND d.state = 'OPEN' AND (d.job_id IS NOT NULL OR d.file_id = (SELECT id FROM dead))
      FOR UPDATE OF d
    ), resolved AS (
      UPDATE dead_letters d SET state = 'DISCARDED', resolved_at = clock_timestamp(), resolved_by = ${input.actor},
        resolution = ${reason}
      FROM letter WHERE d.id = letter.id
    ), moved AS (
      UPDATE files f SET state = 'DISCARDED' FROM letter WHERE f.id = letter.file_id AND letter.job_id IS NULL
    ), noted AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT ${input.actor}, 'dlq.discard', CASE WHEN letter.job_id IS NULL THEN 'file' ELSE 'dead-letter' END,
        CASE WHEN letter.job_id IS NULL THEN letter.file_id ELSE letter.id END::text,
        jsonb_build_object('letter', ${id}::text, 'code', letter.code, 'reason', ${reason}::text)
      FROM letter
    )
    SELECT file_id::text AS "fileId", generation FROM letter`)
  return row === undefined ? await whyNot(db, id) : { outcome: 'done', ...row }
}

async function whyNot(db: Queryable, id: string): Promise<ResolveOutcome> {
  const { letter } = await getDeadLetter(db, id)
  const { fileId } = letter
  if (letter.state !== 'OPEN') return { outcome: 'resolved', fileId }
  return { outcome: letter.jobId === null ? 'not-dead' : 'refused-request', fileId }
}

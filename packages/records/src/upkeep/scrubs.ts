import { randomUUID } from 'node:crypto'
import { Prisma, type Scrub } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** A pass's finding on one object; a code of the closed list. */
export interface ScrubFinding {
  readonly fileId: string
  readonly attemptId: string
  readonly code: string
}

/** One pass over every stored object. */
export interface ScrubRow extends Readonly<Omit<Scrub, 'bytes' | 'findings'>> {
  readonly bytes: number
  /** The first findings: a thousand, unless the run set another number. */
  readonly findings: readonly ScrubFinding[]
}

const MOST_FINDINGS = 1_000
const COLUMNS = Prisma.raw(
  `s.id, s.started_at AS "startedAt", s.finished_at AS "finishedAt", s.objects, s.bytes, s.failed, s.findings`,
)

/** Newest first. */
export async function listScrubs(db: Queryable, limit = 10): Promise<ScrubRow[]> {
  const rows = await db.read(({ scrub }) => scrub.findMany({ orderBy: { startedAt: 'desc' }, take: limit }))
  return rows.map(scrubRow)
}

/**
 * The pass in progress; else a new one when the last began at least this many days ago (by the database's clock), or
 * there was none. Undefined: none is due.
 */
export async function currentScrub(db: Queryable, everyDays: number): Promise<ScrubRow | undefined> {
  const open = (await listScrubs(db, 1)).find(({ finishedAt }) => finishedAt === null)
  if (open !== undefined) return open
  const [made] = await db.query<Scrub>(Prisma.sql`
    INSERT INTO scrubs AS s (id) SELECT ${randomUUID()}::uuid
    WHERE NOT EXISTS (SELECT 1 FROM scrubs o WHERE o.finished_at IS NULL
      OR o.started_at > clock_timestamp() - make_interval(days => ${everyDays}::int))
    ON CONFLICT DO NOTHING
    RETURNING ${COLUMNS}`)
  if (made === undefined) return undefined
  await db.query(Prisma.sql`
    DELETE FROM scrub_failures f USING scrubs s WHERE s.id = f.scrub_id AND s.finished_at IS NOT NULL RETURNING f.attempt_id`)
  return scrubRow(made)
}

/**
 * Records the result for one object, and when it was found whole. Counted once per pass, even if another run, or a
 * resumed one, reads the object again.
 */
export async function recordScrubbed(
  db: Queryable,
  input: {
    readonly scrubId: string
    readonly attemptId: string
    readonly bytes: number
    readonly finding?: ScrubFinding
    /** How many findings the row keeps; all are counted. Default 1,000. */
    readonly mostFindings?: number | undefined
  },
): Promise<void> {
  const { finding, mostFindings = MOST_FINDINGS } = input
  const failed = finding === undefined ? 0 : 1
  const [scrub, attempt] = [uuid(input.scrubId, 'the pass'), uuid(input.attemptId, 'the attempt id')]
  await db.query(Prisma.sql`
    WITH whole AS (
      UPDATE attempts a SET verified_at = clock_timestamp() FROM scrubs s
      WHERE s.id = ${scrub}::uuid AND a.id = ${attempt}::uuid AND ${failed}::int = 0
        AND (a.verified_at IS NULL OR a.verified_at < s.started_at)
      RETURNING a.id
    ), bad AS (
      INSERT INTO scrub_failures (scrub_id, attempt_id) SELECT s.id, ${attempt}::uuid FROM scrubs s
      WHERE s.id = ${scrub}::uuid AND s.finished_at IS NULL AND ${failed}::int = 1
      ON CONFLICT DO NOTHING
      RETURNING attempt_id
    )
    UPDATE scrubs SET objects = objects + 1, bytes = bytes + ${input.bytes}::bigint, failed = failed + ${failed}::int,
      findings = CASE WHEN ${failed}::int = 1 AND jsonb_array_length(findings) < ${mostFindings}::int
        THEN findings || ${JSON.stringify(finding ?? {})}::jsonb ELSE findings END
    WHERE id = ${scrub}::uuid AND (EXISTS (SELECT FROM whole) OR EXISTS (SELECT FROM bad)) RETURNING id`)
}

export async function finishScrub(db: Queryable, id: string): Promise<ScrubRow | undefined> {
  const [row] = await db.query<Scrub>(Prisma.sql`
    UPDATE scrubs s SET finished_at = clock_timestamp() WHERE s.id = ${id}::uuid AND s.finished_at IS NULL
    RETURNING ${COLUMNS}`)
  return row === undefined ? undefined : scrubRow(row)
}

/** Objects given up with a destroyed key cannot be verified and are skipped: each pass would report them again. */
const GIVEN_UP = Prisma.sql`EXISTS (SELECT FROM master_keys k WHERE k.state = 'DESTROYED'
  AND (k.id = a.sig_key_id OR k.id = a.kek_key_id AND a.wrapped_nonces IS NOT NULL))`

/**
 * Files whose object this pass has not read yet, those first that were verified longest ago or never. Objects committed
 * after it began belong to the next pass, so that a pass ends under any load. (A file has at most one COMMITTED
 * attempt. A condition on its id would be redundant, and would make the planner expect one row and read all files for
 * each page.)
 */
export function nextToScrub(
  db: Queryable,
  page: {
    readonly scrubId: string
    readonly startedAt: Date
    /** Attempts that this run has skipped. */
    readonly except: readonly string[]
    readonly limit: number
  },
): Promise<{ readonly fileId: string; readonly attemptId: string }[]> {
  return db.query(Prisma.sql`
    SELECT a.file_id AS "fileId", a.id AS "attemptId"
    FROM attempts a JOIN files f ON f.id = a.file_id AND f.state = 'STORED'
    WHERE a.state = 'COMMITTED' AND (a.verified_at IS NULL OR a.verified_at < ${page.startedAt})
      AND a.ended_at < ${page.startedAt} AND NOT ${GIVEN_UP} AND NOT ${failedIn(page.scrubId)}
      AND a.id <> ALL (${[...page.except]}::uuid[])
    ORDER BY a.verified_at NULLS FIRST, a.id LIMIT ${page.limit}::int`)
}

const failedIn = (scrubId: string) => Prisma.sql`EXISTS (SELECT FROM scrub_failures x
  WHERE x.scrub_id = ${uuid(scrubId, 'the pass')}::uuid AND x.attempt_id = a.id)`

/** The remaining work of a pass; without its id, the work of a pass that began now. */
export async function scrubBacklog(
  db: Queryable,
  startedAt: Date,
  scrubId?: string,
): Promise<{ readonly objects: number; readonly bytes: number }> {
  const [row] = await db.query<{ objects: bigint; bytes: bigint | null }>(Prisma.sql`
    SELECT count(*) AS objects, sum(a.object_length)::bigint AS bytes
    FROM attempts a JOIN files f ON f.id = a.file_id AND f.state = 'STORED'
    WHERE a.state = 'COMMITTED' AND (a.verified_at IS NULL OR a.verified_at < ${startedAt})
      AND a.ended_at < ${startedAt} AND NOT ${GIVEN_UP}
      ${scrubId === undefined ? Prisma.empty : Prisma.sql`AND NOT ${failedIn(scrubId)}`}`)
  return { objects: Number(row?.objects ?? 0), bytes: Number(row?.bytes ?? 0) }
}

function scrubRow(raw: Scrub): ScrubRow {
  const findings = raw.findings as unknown as readonly ScrubFinding[]
  return { ...raw, bytes: Number(raw.bytes), findings }
}

import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable, Records } from '../db/records.js'
import { coveredByLease } from '../attempts/live-lease.js'
import { underVersion } from '../keys/under-version.js'
import { appendAudit } from '../audit/append-audit.js'

/**
 * Attempts read by one statement, each once for its enc and once for its sig key: it takes a fraction of a second,
 * however many exist.
 */
const PAGE = 10_000
/** Before every file. */
const NIL = '00000000-0000-0000-0000-000000000000'

/**
 * seeding: there are more attempts to look at, call again at once. seeded: every file was looked at, and items are
 * still open. done: a whole last pass found no more, and the run is over. idle: the run is not ACTIVE, or another
 * dispatcher has it.
 */
export type Seeding = 'seeding' | 'seeded' | 'done' | 'idle'

interface Locked {
  readonly active: boolean
  readonly domainId: string
  readonly fromVersion: number
  readonly cursor: string | null
  readonly seeded: boolean
}

/**
 * Makes the items of a run, a page of files at a time in the order of their ids. A file gets an item if an attempt
 * under the version may have to be opened; the statement reads the index of such attempts, and no others. `seed_cursor`
 * holds the place, so that an interrupted pass continues there. `seeded_at` is set when a pass has ended.
 *
 * When all items have ended, it looks at all files once more, since an ingest that began under the version may have
 * been committed after the first pass. The run ends only with a pass that adds no item while no such ingest is in
 * progress. Dispatchers take turns by the run's row.
 * @param actor for the audit row of the run's end
 * @param o.page attempts per statement, each read twice
 */
export function createRekeyItems(
  records: Pick<Records, 'transaction'>,
  runId: string,
  actor: string,
  { page = PAGE }: { readonly page?: number } = {},
): Promise<Seeding> {
  return records.transaction(async (tx) => {
    const run = await lock(tx, uuid(runId, 'the run’s id'))
    if (run?.active !== true) return 'idle'
    const between = run.seeded && run.cursor === null
    if (between && (await hasWork(tx, runId, run))) return 'seeded'
    const { added, looked, last } = await seedPage(tx, runId, run, page)
    const atEnd = looked < page
    if (atEnd && run.seeded && added === 0 && !(await hasWork(tx, runId, run))) {
      await finish(tx, runId, actor)
      return 'done'
    }
    await remember(tx, runId, { cursor: atEnd ? null : last, seeded: atEnd || (run.seeded && added === 0) })
    return atEnd ? 'seeded' : 'seeding'
  })
}

async function lock(tx: Queryable, runId: string): Promise<Locked | undefined> {
  const [row] = await tx.query<Locked>(Prisma.sql`
    SELECT state = 'ACTIVE' AS active, domain_id AS "domainId", from_version AS "fromVersion", seed_cursor AS cursor,
      seeded_at IS NOT NULL AS seeded
    FROM rekey_runs WHERE id = ${runId}::uuid FOR UPDATE SKIP LOCKED`)
  return row
}

/** An item that has not ended, or an ingest in progress that still seals under the version. */
async function hasWork(tx: Queryable, runId: string, { domainId, fromVersion }: Locked): Promise<boolean> {
  const [row] = await tx.query<{ readonly work: boolean }>(Prisma.sql`
    SELECT EXISTS (SELECT FROM rekey_items WHERE run_id = ${runId}::uuid AND state IN ('QUEUED', 'RUNNING'))
      OR EXISTS (SELECT FROM attempts a JOIN files f ON f.id = a.file_id
        WHERE f.state = 'RUNNING' AND f.domain_id = ${domainId}::uuid AND a.attempt_no = f.last_attempt_no
          AND a.state = 'OPEN' AND ${underVersion(domainId, fromVersion)} AND ${coveredByLease('f')}) AS work`)
  return row?.work === true
}

/** A page that ends among the attempts of one file has covered that file: only the committed attempt counts. */
async function seedPage(
  tx: Queryable,
  runId: string,
  { domainId, fromVersion, cursor }: Locked,
  limit: number,
): Promise<{ readonly added: number; readonly looked: number; readonly last: string | null }> {
  // Looked up first, so that the planner knows their ids.
  const [keys] = await tx.query<{ readonly enc: string | null; readonly sig: string | null }>(Prisma.sql`
    SELECT (SELECT id FROM master_keys WHERE domain_id = ${domainId}::uuid AND role = 'ENC' AND version = ${fromVersion}::int) AS enc,
      (SELECT id FROM master_keys WHERE domain_id = ${domainId}::uuid AND role = 'SIG' AND version = ${fromVersion}::int) AS sig`)
  const under = (column: 'enc_key_id' | 'sig_key_id', key: string | null | undefined): Prisma.Sql => Prisma.sql`
    (SELECT a.file_id FROM attempts a
      WHERE a.${Prisma.raw(column)} = ${key ?? null}::uuid AND a.file_id > ${cursor ?? NIL}::uuid
        AND a.state IN ('OPEN', 'COMMITTED', 'SUPERSEDED') AND a.swept_at IS NULL AND a.shredded_at IS NULL
      ORDER BY a.file_id LIMIT ${limit}::int)`
  const [page] = await tx.query<{ readonly added: number; readonly looked: number; readonly last: string | null }>(
    Prisma.sql`
    WITH page AS MATERIALIZED (
      SELECT needing.file_id FROM (${under('enc_key_id', keys?.enc)} UNION ALL ${under('sig_key_id', keys?.sig)}) AS needing
      ORDER BY needing.file_id LIMIT ${limit}::int
    ), added AS (
      INSERT INTO rekey_items (id, run_id, file_id)
      SELECT gen_random_uuid(), ${runId}::uuid, f.id FROM (SELECT DISTINCT file_id FROM page) p
        JOIN files f ON f.id = p.file_id JOIN attempts a ON a.file_id = f.id AND a.id = f.committed_attempt_id
      WHERE f.domain_id = ${domainId}::uuid AND f.state = 'STORED'
        AND (a.enc_key_id = ${keys?.enc ?? null}::uuid OR a.sig_key_id = ${keys?.sig ?? null}::uuid)
      ON CONFLICT (run_id, file_id) DO NOTHING
      RETURNING id
    )
    SELECT (SELECT count(*)::int FROM added) AS added, (SELECT count(*)::int FROM page) AS looked,
      (SELECT file_id FROM page ORDER BY file_id DESC LIMIT 1) AS last`,
  )
  if (page === undefined) throw new TypeError('a SELECT without FROM has one row')
  return page
}

async function remember(
  tx: Queryable,
  runId: string,
  { cursor, seeded }: { readonly cursor: string | null; readonly seeded: boolean },
): Promise<void> {
  await tx.query(Prisma.sql`
    UPDATE rekey_runs SET seed_cursor = ${cursor}::uuid,
      seeded_at = CASE WHEN ${seeded} THEN coalesce(seeded_at, clock_timestamp()) END
    WHERE id = ${runId}::uuid RETURNING id`)
}

async function finish(tx: Queryable, runId: string, actor: string): Promise<void> {
  await tx.query(Prisma.sql`
    UPDATE rekey_runs SET state = 'DONE', seed_cursor = NULL, finished_at = clock_timestamp()
    WHERE id = ${runId}::uuid RETURNING id`)
  await appendAudit(tx, { actor, action: 'rekey.done', subjectKind: 'rekey-run', subjectId: runId })
}

import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Prisma } from '../src/generated/client.js'
import { countRekeyItems } from '../src/rekey/count-rekey-items.js'
import { listCommittedObjects } from '../src/attempts/committed-objects.js'
import { listShredEvents } from '../src/deletion/shred-events.js'
import { nextToScrub } from '../src/upkeep/scrubs.js'
import { searchAudit, type AuditFilter } from '../src/audit/search-audit.js'
import type { Queryable } from '../src/db/records.js'
import { fileBalance, fileCounts } from '../src/files/counts.js'
import { openLettersByCode } from '../src/files/dead-letters.js'
import { manyFiles } from './many-files.js'
import { openFixture, type Fixture } from './support.js'

/** Pages of a register of millions of files come from an index: enough rows that the planner has a choice. */
const FILES = 5_000
const ROWS = 50_000

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
  const client = await f.sql.connect()
  try {
    await manyFiles(client, f.keys, FILES)
    await client.query(`
      INSERT INTO audit_log (actor, action, subject_kind, subject_id)
      SELECT 'w' || i % 3, CASE WHEN i = 7 THEN 'keys.rotate' WHEN i % 1000 = 1 THEN 'files.enqueue' ELSE 'file.commit' END,
        CASE i % 2 WHEN 0 THEN 'file' ELSE 'batch' END, md5('s' || i / 3) FROM generate_series(1, ${ROWS}) i`)
    // Vacuumed, as autovacuum leaves large tables: an index alone can answer for rows that all can see.
    await client.query('VACUUM (ANALYZE) files, attempts')
    await client.query('ANALYZE audit_log')
  } finally {
    client.release(true)
  }
})
afterAll(() => f?.[Symbol.asyncDispose]())

/** The plan of the last statement that `ask` makes; none of them finds anything. */
async function planOf(ask: (db: Queryable) => Promise<unknown>): Promise<string> {
  return (await plansOf(ask)).at(-1) ?? ''
}

/** The plans of all of them. @param answer what they find */
async function plansOf(
  ask: (db: Queryable) => Promise<unknown>,
  answer: Queryable['query'] = () => Promise.resolve([]),
): Promise<readonly string[]> {
  const plans: string[] = []
  const db: Queryable = {
    read: (run) => f.records.read(run),
    query: async (sql: Prisma.Sql) => {
      const { rows } = await f.sql.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql.text}`, [...sql.values])
      plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'))
      return answer(sql)
    },
  }
  await ask(db)
  return plans
}

test('a page of what is to be scrubbed comes from its index, and no large table is read whole', async () => {
  const plan = await planOf((db) =>
    nextToScrub(db, { scrubId: randomUUID(), startedAt: new Date(), except: [], limit: 100 }),
  )
  expect(plan).toContain('attempts_scrub')
  // Master keys are a handful.
  expect(plan).not.toMatch(/Seq Scan on (files|attempts)/)
})

test('so does a page of the objects that files are kept in', async () => {
  const plan = await planOf((db) => listCommittedObjects(db, { bucket: 'bucket', limit: 100 }))
  expect(plan).toContain('attempts_bucket_object_key_key')
  expect(plan).not.toContain('Seq Scan')
})

/** A row of zeros, for a count that wants one. */
const ZEROS = new Proxy({}, { get: () => 0 })

test('files are counted in an index, and no large table is read whole', async () => {
  const [plan = ''] = await plansOf(fileCounts, () => Promise.resolve([ZEROS as never]))
  expect(plan).toMatch(/Index Only Scan using files_\w+ on files\b/)
  expect(plan).not.toMatch(/Seq Scan on (files|attempts)/)
})

test('only the whole balance reads all attempts', async () => {
  const [plan = ''] = await plansOf(fileBalance, () => Promise.resolve([ZEROS as never]))
  expect(plan).toMatch(/Index Only Scan using files_\w+ on files\b/)
  expect(plan.match(/state = 'COMMITTED'/g)).toHaveLength(1)
})

test('counts are wider than 32 bits', async () => {
  const types: number[] = []
  const db: Queryable = {
    read: (run) => f.records.read(run),
    query: async (sql: Prisma.Sql) => {
      const { fields } = await f.sql.query(sql.text, [...sql.values])
      types.push(...fields.filter(({ name }) => name !== 'code').map(({ dataTypeID }) => dataTypeID))
      return f.records.query(sql)
    },
  }
  await fileBalance(db)
  await fileCounts(db)
  await openLettersByCode(db)
  expect(new Set(types)).toEqual(new Set([pg.types.builtins.FLOAT8]))
})

test('items are counted without a look at files and attempts', async () => {
  const plan = await planOf((db) => countRekeyItems(db, ['0190b3c0-0000-7000-8000-0000000000aa']))
  expect(plan).not.toMatch(/ on (files|attempts)/)
})

test.each<readonly [string, Omit<AuditFilter, 'limit'>, string, number]>([
  ['a rare action', { action: 'keys.rotate' }, 'audit_log_action_id_idx', 1],
  ['rare actions by the beginning of their name', { action: 'keys.' }, 'audit_log_action_id_idx', 2],
  ['an action that there is none of', { action: 'keys.destroy' }, 'audit_log_action_id_idx', 1],
  ['a frequent action', { action: 'file.commit' }, 'audit_log_action_id_idx', 1],
  ['a subject', { subjectId: 'nobody' }, 'audit_log_subject_kind_subject_id_idx', 2],
])('%s is found in the log by an index, with no more than that', async (_what, filter, index, statements) => {
  const plans = await plansOf(
    (db) => searchAudit(db, { ...filter, limit: 200 }),
    (sql) => f.records.query(sql),
  )
  expect(plans).toHaveLength(statements)
  for (const plan of plans) {
    expect(plan).toContain(index)
    expect(plan).not.toContain('Seq Scan on audit_log')
  }
})

test('a page of the whole log is a step back in it, however little of it is wanted', async () => {
  const plan = await planOf((db) => searchAudit(db, { actor: 'nobody', limit: 200 }, { window: 1_000 }))
  expect(plan).toContain('Index Scan Backward using audit_log_pkey')
  expect(plan).not.toContain('Seq Scan')
})

test('so are shreddings', async () => {
  const plan = await planOf((db) => listShredEvents(db, { after: '0', limit: 1_000 }))
  expect(plan).toContain('audit_log_action_id_idx')
})

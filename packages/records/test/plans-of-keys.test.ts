import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Prisma } from '../src/generated/client.js'
import { countKeyReferences, listKeyReferences } from '../src/keys/key-references.js'
import { getMasterKey } from '../src/keys/master-keys.js'
import { rekeyScope } from '../src/rekey/rekey-scope.js'
import { createRekeyItems } from '../src/rekey/create-rekey-items.js'
import { startRekeyRun } from '../src/rekey/start-rekey-run.js'
import type { Queryable } from '../src/db/records.js'
import { manyFiles } from './many-files.js'
import { addKey, openFixture, type Fixture } from './support.js'

/** What needs a key, and what leaves it, among very many files: enough rows that the planner has a choice. */
const FILES = 5_000

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
  const client = await f.sql.connect()
  try {
    await manyFiles(client, f.keys, FILES)
    await client.query('ANALYZE files, attempts')
    // A rotation after all that: nothing needs the second version yet.
    for (const role of ['enc', 'sig'] as const) await addKey(f.records, role, 2)
  } finally {
    client.release(true)
  }
})
afterAll(() => f?.[Symbol.asyncDispose]())

/** The plan of the last statement that `ask` makes, or the last that holds this text. */
async function planOf(ask: (db: Queryable) => Promise<unknown>, holding = ''): Promise<string> {
  let plan = ''
  const db: Queryable = {
    read: (run) => f.records.read(run),
    query: async (sql: Prisma.Sql) => {
      const { rows } = await f.sql.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql.text}`, [...sql.values])
      if (sql.text.includes(holding)) plan = rows.map((row) => row['QUERY PLAN']).join('\n')
      return f.records.query(sql)
    },
  }
  await ask(db)
  return plan
}

test('what needs a key comes from the index of those alone that need it, and the first of many in its order', async () => {
  const second = (await getMasterKey(f.records, { domain: 'default', role: 'enc', version: 2 }))?.id ?? ''
  const few = await planOf((db) => countKeyReferences(db, second))
  expect(few).toContain('attempts_needing_enc')
  expect(few).not.toMatch(/Seq Scan on (files|attempts)/)
  const first = await planOf((db) => listKeyReferences(db, f.keys.enc.id, 100))
  expect(first).toContain('attempts_needing_enc')
  expect(first).not.toMatch(/Seq Scan on attempts/)
})

test('what a re-encryption would move is found by its keys, not in every stored file of the domain', async () => {
  const plan = await planOf((db) => rekeyScope(db, 'default', 2))
  expect(plan).toContain('attempts_needing_')
  expect(plan).not.toMatch(/Seq Scan on (files|attempts)/)
})

test('the files of a run are looked up by their keys, a page of them in the order of an index', async () => {
  const { run } = await startRekeyRun(f.records, { domain: 'default', fromVersion: 1, createdBy: 'test' })
  const plan = await planOf(
    (db) => createRekeyItems({ transaction: (deed) => deed(db) }, run.id, 'test', { page: 10 }),
    'INSERT INTO rekey_items',
  )
  expect(plan).toMatch(/attempts_needing_enc[^]*attempts_needing_sig/)
  expect(plan).not.toMatch(/Seq Scan on (files|attempts)/)
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Prisma } from '../src/generated/client.js'
import { countRekeyItems, listKeptObjects, nextToScrub, type Queryable } from '../src/index.js'
import { openFixture, type Fixture } from './support.js'

/** Pages of a register of millions of files come from an index: enough rows that the planner has a choice. */
const FILES = 5_000

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
  const client = await f.sql.connect()
  try {
    // Each of the two names the other; and five thousand commits one after another would take a minute.
    await client.query('SET session_replication_role = replica')
    await client.query(`
      INSERT INTO files (id, domain_id, state, source_root, source_path, context, fingerprint, last_attempt_no,
        committed_attempt_id, stored_at)
      SELECT md5('f' || i)::uuid, '00000000-0000-0000-0000-000000000000', 'STORED', 'in', 'p' || i, '',
        decode(repeat('00', 32), 'hex'), 1, md5('a' || i)::uuid, now() FROM generate_series(1, ${FILES}) i`)
    await client.query(
      `INSERT INTO attempts (id, file_id, domain_id, attempt_no, generation, state, owner, suite, seg_log2, enc_key_id,
        sig_key_id, nonce_enc, nonce_sig, nonce_id_enc, nonce_id_sig, bucket, object_key, etag, object_length, plaintext_length,
        htag, fmac, ended_at)
      SELECT md5('a' || i)::uuid, md5('f' || i)::uuid, '00000000-0000-0000-0000-000000000000', 1, 1, 'COMMITTED', 'w', 1, 20,
        $1, $2, e, s, sha256('SFV1/nonce-id\\000\\000\\000'::bytea || e), sha256('SFV1/nonce-id\\000\\000\\000'::bytea || s), 'bucket',
        'default/' || md5('f' || i)::uuid || '/' || md5('a' || i)::uuid, '"e"', 451, 3, sha256('h'), sha256('m'), now() - interval '1 hour'
      FROM generate_series(1, ${FILES}) i, LATERAL (SELECT sha256(('e' || i)::bytea) AS e, sha256(('s' || i)::bytea) AS s) n`,
      [f.keys.enc.id, f.keys.sig.id],
    )
    await client.query('ANALYZE files, attempts')
  } finally {
    client.release(true)
  }
})
afterAll(() => f?.[Symbol.asyncDispose]())

/** The plan of the one statement that `ask` makes. */
async function planOf(ask: (db: Queryable) => Promise<unknown>): Promise<string> {
  let plan = ''
  const db: Queryable = {
    query: async (sql: Prisma.Sql) => {
      const { rows } = await f.sql.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql.text}`, [...sql.values])
      plan = rows.map((row) => row['QUERY PLAN']).join('\n')
      return []
    },
  }
  await ask(db)
  return plan
}

test('a page of what is to be scrubbed comes from its index, and no large table is read whole', async () => {
  const plan = await planOf((db) => nextToScrub(db, { startedAt: new Date(), except: [], limit: 100 }))
  expect(plan).toContain('attempts_scrub')
  // Master keys are a handful.
  expect(plan).not.toMatch(/Seq Scan on (files|attempts)/)
})

test('so does a page of the objects that files are kept in', async () => {
  const plan = await planOf((db) => listKeptObjects(db, { bucket: 'bucket', limit: 100 }))
  expect(plan).toContain('attempts_bucket_object_key_key')
  expect(plan).not.toContain('Seq Scan')
})

test('items are counted without a look at files and attempts', async () => {
  const plan = await planOf((db) => countRekeyItems(db, ['0190b3c0-0000-7000-8000-0000000000aa']))
  expect(plan).not.toMatch(/ on (files|attempts)/)
})

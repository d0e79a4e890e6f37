import { randomBytes, randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { getFile } from '../src/files/get-file.js'
import { listFiles } from '../src/files/list-files.js'
import { removeFile } from '../src/deletion/remove-file.js'
import { traceFile } from '../src/files/trace-file.js'
import type { Records } from '../src/db/records.js'
import { commitOf, nonceIdOf, opened, openFixture, type Fixture } from './support.js'

/** Reads of a file beside its attempts are several queries: another transaction that fits between them must not be half seen. */
let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

const hex = (bytes: Buffer): string => `\\x${bytes.toString('hex')}`

/** Puts a copy of the committed attempt in its place, as a re-encryption does. */
async function exchange(client: pg.PoolClient, fileId: string, oldId: string): Promise<string> {
  const newId = randomUUID()
  await client.query(`SET CONSTRAINTS files_id_committed_attempt_id_committed_state_fkey DEFERRED`)
  await client.query(`UPDATE attempts SET state = 'SUPERSEDED', superseded_at = clock_timestamp() WHERE id = $1`, [
    oldId,
  ])
  const [enc, sig] = [randomBytes(32), randomBytes(32)]
  const { rows } = await client.query<{ names: string }>(
    `SELECT string_agg(column_name, ', ') AS names FROM information_schema.columns
     WHERE table_name = 'attempts' AND is_generated = 'NEVER'`,
  )
  const columns = rows[0]?.names ?? ''
  await client.query(
    `INSERT INTO attempts (${columns})
     SELECT ${columns} FROM (SELECT (jsonb_populate_record(a, $2::jsonb)).* FROM attempts a WHERE a.id = $1) AS copy`,
    [
      oldId,
      {
        id: newId,
        attempt_no: 2,
        state: 'COMMITTED',
        superseded_at: null,
        nonce_enc: hex(enc),
        nonce_sig: hex(sig),
        nonce_id_enc: hex(nonceIdOf(enc)),
        nonce_id_sig: hex(nonceIdOf(sig)),
        object_key: `default/${fileId}/${newId}`,
      },
    ],
  )
  await client.query(`UPDATE files SET committed_attempt_id = $2 WHERE id = $1`, [fileId, newId])
  return newId
}

/** Until someone waits for the table of attempts: his first query, of the file, is behind him. */
async function untilBlocked(): Promise<void> {
  for (;;) {
    const { rows } = await f.sql.query(
      `SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
       WHERE d.datname = current_database() AND l.relation = 'attempts'::regclass AND NOT l.granted`,
    )
    if (rows.length > 0) return
  }
}

const READS: readonly [string, (records: Records, fileId: string) => Promise<string | undefined>][] = [
  ['getFile', async (records, id) => (await getFile(records, id))?.committed?.id],
  [
    'listFiles',
    async (records, id) => (await listFiles(records, {})).files.find(({ file }) => file.id === id)?.committed?.id,
  ],
  [
    'traceFile',
    async (records, id) => {
      const trace = await traceFile(records, id)
      // The one that its file names, too: a half-seen trace has a file that names another.
      return trace?.attempts.find((a) => a.state === 'COMMITTED' && a.id === trace.file.committedAttemptId)?.id
    },
  ],
]

test.each(READS)('%s finds the attempt that keeps a file, whenever it gives way to another', async (_name, read) => {
  const first = await opened(f)
  await commitAttempt(f.records, commitOf(first))
  const client = await f.sql.connect()
  let done = false
  try {
    await client.query('BEGIN')
    await client.query('LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE')
    const reading = read(f.records, first.fileId)
    await untilBlocked()
    const second = await exchange(client, first.fileId, first.attemptId)
    await client.query('COMMIT')
    expect([first.attemptId, second]).toContain(await reading)
    expect(await read(f.records, first.fileId)).toBe(second)
    done = true
  } finally {
    client.release(!done)
  }
})

test('a file that was removed is read as such, though it names the attempt that kept it', async () => {
  const { fileId, attemptId } = await opened(f).then(async (first) => {
    await commitAttempt(f.records, commitOf(first))
    return first
  })
  await removeFile(f.records, { fileId, actor: 'cli:test', reason: 'asked for' })
  expect(await getFile(f.records, fileId)).toMatchObject({ file: { state: 'DELETED' }, committed: null })
  const listed = (await listFiles(f.records, {})).files.find(({ file }) => file.id === fileId)
  expect(listed).toMatchObject({ file: { state: 'DELETED' }, committed: null })
  expect((await traceFile(f.records, fileId))?.file.committedAttemptId).toBe(attemptId)
})

import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { every, longTest, matrix } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

const WORKER = path.resolve(import.meta.dirname, '../../../bundle/worker.mjs')
const REPLACE = path.resolve(import.meta.dirname, 'support/replace-key.mjs')

interface Stored {
  readonly fileId: string
  readonly objectKey: string
  readonly relativePath: string
}

let world: World
let sql: pg.Client
const stored = new Map<string, Stored>()

beforeAll(async () => {
  world = await createWorld()
  await world.sealfleet(['keys', 'init'])
  await world.sealfleet(['domains', 'add', 'apart', '--nonces', 'detached', '--accept-loss-with-database'])
  await world.sealfleet(['keys', 'init', '--domain', 'apart'])
  sql = new pg.Client({ connectionString: world.databaseUrl })
  // The database is dropped by force in the end.
  sql.on('error', () => undefined)
  await sql.connect()
  await using _worker = await world.worker()
  for (const [folder, domain] of [
    ['inline', 'default'],
    ['detached', 'apart'],
  ] as const) {
    await mkdir(path.join(world.data, folder))
    for (const name of ['a', 'b', 'c']) await writeFile(path.join(world.data, folder, name), randomBytes(1000))
    const ran = await world.sealfleet(['enqueue', folder, '--wait', '--domain', domain, '--json'])
    for (const file of ran.json<{ files: Stored[] }>().files) stored.set(file.relativePath, file)
  }
  expect(stored.size).toBe(6)
})
afterAll(async () => {
  await sql.end()
  await world[Symbol.asyncDispose]()
})

function fileOf(name: string): Stored {
  const found = stored.get(name)
  if (found === undefined) throw new Error(`${name} was not enqueued`)
  return found
}

/** Restores (or opens an object) into a folder of its own: status, code, and what lies in the folder afterwards. */
async function opened(args: readonly string[], env: Record<string, string | undefined> = {}) {
  const folder = path.join(world.dir, `out-${randomBytes(4).toString('hex')}`)
  await mkdir(folder)
  const ran = await world.inProcess([...args, '-o', path.join(folder, 'file'), '--json'], { env })
  const reply = ran.json<{ error?: { code: string } }>()
  return { status: ran.status, code: reply.error?.code, left: await readdir(folder), folder }
}

/** Swaps a column of two files' attempts back and forth around `look`. */
async function swapped(columns: readonly string[], pair: readonly [string, string], look: () => Promise<void>) {
  const set = columns.map((column) => `${column} = o.${column}`).join(', ')
  const swap = `UPDATE attempts a SET ${set} FROM attempts o
    WHERE a.file_id = ANY ($1::uuid[]) AND o.file_id = ANY ($1::uuid[]) AND a.file_id <> o.file_id`
  const ids = pair.map((name) => fileOf(name).fileId)
  await asOwner(swap, [ids])
  await look()
  await asOwner(swap, [ids])
}

/** As who owns the tables may: past every trigger. */
async function asOwner(statement: string, values: readonly unknown[] = []): Promise<void> {
  await sql.query('SET session_replication_role = replica')
  await sql.query(statement, [...values])
  await sql.query('SET session_replication_role = DEFAULT')
}

describe('records that someone wrote to', () => {
  it('two rows’ inline nonces swapped: E_RECORD_MISMATCH, and nothing is left', async () => {
    await sql.query('ALTER TABLE attempts DROP CONSTRAINT attempts_nonce_ids_true')
    await swapped(['nonce_enc', 'nonce_sig'], ['inline/a', 'inline/b'], async () => {
      for (const name of ['inline/a', 'inline/b'])
        expect(await opened(['restore', fileOf(name).fileId])).toMatchObject({
          status: 3,
          code: 'E_RECORD_MISMATCH',
          left: [],
        })
      expect((await world.inProcess(['verify', fileOf('inline/a').fileId])).status).toBe(3)
    })
    expect(await opened(['restore', fileOf('inline/a').fileId])).toMatchObject({ status: 0, left: ['file'] })
  })

  it('two rows’ wrapped nonces swapped: E_NONCE_UNWRAP, and nothing is left', async () => {
    await swapped(['wrapped_nonces'], ['detached/a', 'detached/b'], async () => {
      for (const name of ['detached/a', 'detached/b'])
        expect(await opened(['restore', fileOf(name).fileId])).toMatchObject({
          status: 3,
          code: 'E_NONCE_UNWRAP',
          left: [],
        })
    })
    expect(await opened(['restore', fileOf('detached/a').fileId])).toMatchObject({ status: 0, left: ['file'] })
  })

  const keys: readonly [column: string, name: string][] = [
    ['enc_key_id', 'inline/c'],
    ['sig_key_id', 'inline/c'],
    ['kek_key_id', 'detached/c'],
  ]
  matrix(keys, every(3))(
    'a key version that does not exist (%s): E_KEY_UNKNOWN, and nothing is left',
    async ([column, name]) => {
      const { fileId } = fileOf(name)
      const { rows } = await sql.query<{ id: string }>(`SELECT ${column} AS id FROM attempts WHERE file_id = $1`, [
        fileId,
      ])
      await asOwner(`UPDATE attempts SET ${column} = gen_random_uuid() WHERE file_id = $1`, [fileId])
      expect(await opened(['restore', fileId])).toMatchObject({ status: 5, code: 'E_KEY_UNKNOWN', left: [] })
      // Lists and traces go on: they are what such a row is found with.
      for (const args of [['trace', fileId], ['list']]) expect((await world.inProcess(args)).status).toBe(0)
      await asOwner(`UPDATE attempts SET ${column} = $2 WHERE file_id = $1`, [fileId, rows[0]?.id])
      expect(await opened(['restore', fileId])).toMatchObject({ status: 0, left: ['file'] })
    },
  )

  it('a key that was registered as another version: E_RECORD_MISMATCH, and nothing is left', async () => {
    const { fileId } = fileOf('inline/c')
    await asOwner(`UPDATE master_keys SET version = 9, label = 'sealfleet/default/sig/s1/9'
      WHERE label = 'sealfleet/default/sig/s1/1'`)
    // The record now names version 9, the header 1: anyone who wrote that is told so.
    expect(await opened(['restore', fileId])).toMatchObject({ status: 3, code: 'E_RECORD_MISMATCH', left: [] })
    await asOwner(`UPDATE master_keys SET version = 1, label = 'sealfleet/default/sig/s1/1'
      WHERE label = 'sealfleet/default/sig/s1/9'`)
  })
})

describe('a row that no constraint would allow', () => {
  // Every column: packages/records/test/damaged.test.ts. Here: what a user sees of it.
  it('ends with RECORD_DAMAGED, the file and the column, status 3, and nothing is left', async () => {
    const { fileId } = fileOf('inline/c')
    await sql.query('ALTER TABLE attempts DROP CONSTRAINT IF EXISTS attempts_committed_is_whole')
    const { rows } = await sql.query<{ was: Buffer }>('SELECT fmac AS was FROM attempts WHERE file_id = $1', [fileId])
    await asOwner('UPDATE attempts SET fmac = NULL WHERE file_id = $1', [fileId])
    try {
      expect(await opened(['restore', fileId])).toMatchObject({ status: 3, code: 'RECORD_DAMAGED', left: [] })
      const { status, stderr } = await world.inProcess(['verify', fileId])
      expect([status, stderr]).toEqual([3, expect.stringContaining('RECORD_DAMAGED')])
      expect(stderr).toContain(`the record of file ${fileId} is damaged: attempts.fmac has no value`)
      for (const args of [['trace', fileId], ['list']]) expect((await world.inProcess(args)).status).toBe(0)
    } finally {
      await asOwner('UPDATE attempts SET fmac = $2 WHERE file_id = $1', [fileId, rows[0]?.was])
    }
  })
})

describe('a length or a segment size that someone changed in the record', () => {
  // Every column: apps/worker/test/tampered-records.test.ts. Here: what a user sees of it.
  const changes: readonly [column: string, to: string][] = [
    ['plaintext_length', 'plaintext_length - 900'],
    ['plaintext_length', 'plaintext_length + 900'],
    ['seg_log2', 'seg_log2 - 1'],
    ['object_length', 'object_length + 1'],
  ]
  matrix(changes, every(4))(
    '%s = %s: status 3, and nothing is left, of a whole restore, a range or many',
    async ([column, to]) => {
      // Anyone who owns the table can drop what it checks.
      await sql.query('ALTER TABLE attempts DROP CONSTRAINT IF EXISTS attempts_lengths')
      const { fileId } = fileOf('inline/b')
      const { rows } = await sql.query<{ was: string }>(`SELECT ${column} AS was FROM attempts WHERE file_id = $1`, [
        fileId,
      ])
      await asOwner(`UPDATE attempts SET ${column} = ${to} WHERE file_id = $1`, [fileId])
      const refused = { status: 3, code: 'E_RECORD_MISMATCH', left: [] }
      try {
        // Within the true length, within both, and of the end, which only the length tells.
        for (const range of ['500-599', '0-9', '-10'])
          expect(await opened(['restore', fileId, '--range', range])).toMatchObject(refused)
        expect(await opened(['restore', fileId])).toMatchObject(refused)
        const out = path.join(world.dir, `many-${randomBytes(4).toString('hex')}`)
        expect((await world.inProcess(['restore', '--prefix', 'inline/b', '-o', out])).status).toBe(3)
        expect(await readdir(path.join(out, 'inline'))).toEqual([])
        expect((await world.inProcess(['verify', fileId])).status).toBe(3)
      } finally {
        await asOwner(`UPDATE attempts SET ${column} = $2 WHERE file_id = $1`, [fileId, rows[0]?.was])
      }
      const right = await opened(['restore', fileId, '--range', '990-'])
      expect(right).toMatchObject({ status: 0, left: ['file'] })
      const whole = await readFile(path.join(world.data, 'inline/b'))
      expect(await readFile(path.join(right.folder, 'file'))).toEqual(whole.subarray(990))
    },
  )
})

describe('a wrong key restored under the right label', () => {
  /** A copy of the token in which one key is another. */
  async function tokenWithWrong(label: string): Promise<Record<string, string>> {
    const conf = await readFile(world.env['SOFTHSM2_CONF'] ?? '', 'utf8')
    const tokens = /^directories\.tokendir = (.*)$/m.exec(conf)?.[1] ?? ''
    const copy = path.join(world.dir, `token-${randomBytes(4).toString('hex')}`)
    await cp(tokens, copy, { recursive: true })
    const env = { SOFTHSM2_CONF: `${copy}.conf` }
    await writeFile(env.SOFTHSM2_CONF, conf.replace(tokens, copy))
    const of = (name: string): string => world.env[`SEALFLEET_PKCS11_${name}`] ?? ''
    execFileSync(process.execPath, [REPLACE, of('MODULE'), of('TOKEN'), of('PIN'), label], {
      env: { ...process.env, ...env },
    })
    return env
  }
  const ALONE = { SEALFLEET_DATABASE_URL: undefined, SEALFLEET_REDIS_URL: undefined, SEALFLEET_ROOTS: undefined }
  const address = (name: string): string => `s3://${world.env['SEALFLEET_S3_BUCKET'] ?? ''}/${fileOf(name).objectKey}`

  it.each([
    ['enc', 'E_KEY_COMMIT'],
    ['sig', 'E_HEADER_AUTH'],
  ])('%s: KEY_MISMATCH where its check value is known, %s where it is not; never garbage', async (role, code) => {
    const env = await tokenWithWrong(`sealfleet/default/${role}/s1/1`)
    const { fileId } = fileOf('inline/a')
    expect(await opened(['restore', fileId], env)).toMatchObject({ status: 5, code: 'KEY_MISMATCH', left: [] })
    expect((await world.inProcess(['keys', 'check'], { env })).status).toBe(5)
    const alone = ['object', 'open', address('inline/a'), '--context-unchecked']
    expect(await opened(alone, { ...ALONE, ...env })).toMatchObject({ status: 3, code, left: [] })
    const right = await opened(alone, ALONE)
    expect(right).toMatchObject({ status: 0, left: ['file'] })
    expect(await readFile(path.join(right.folder, 'file'))).toEqual(await readFile(path.join(world.data, 'inline/a')))
  })

  longTest(
    'is found by the worker, which seals nothing with it: the file waits, and is stored once the right key is back',
    async () => {
      const env = await tokenWithWrong('sealfleet/default/enc/s1/1')
      await writeFile(path.join(world.data, 'later'), 'x')
      const ran = await world.sealfleet(['enqueue', 'later', '--json'])
      const [file] = ran.json<{ files: Stored[] }>().files
      const child = spawn(process.execPath, [WORKER], { cwd: world.dir, env: { ...world.env, ...env } })
      let log = ''
      await new Promise<void>((resolve) => {
        child.stdout.on('data', (chunk: Buffer) => {
          log += chunk.toString()
          if (log.includes('KEY_MISMATCH')) resolve()
        })
        child.once('close', () => resolve())
      })
      const closed = new Promise((resolve) => child.once('close', resolve))
      child.kill('SIGTERM')
      if (child.exitCode === null) await closed
      expect(log).toContain('KEY_MISMATCH')
      const { rows } = await sql.query(
        `SELECT f.state, f.last_attempt_no > 0 AND EXISTS (SELECT FROM attempts a WHERE a.file_id = f.id AND a.state = 'COMMITTED') AS sealed
       FROM files f WHERE id = $1`,
        [file?.fileId],
      )
      expect(rows).toEqual([{ state: 'QUEUED', sealed: false }])
      await using _worker = await world.worker()
      const again = await world.sealfleet(['enqueue', 'later', '--wait', '--json'])
      expect(again.json<{ files: { outcome: string }[] }>().files[0]?.outcome).toBe('stored')
    },
  )
})

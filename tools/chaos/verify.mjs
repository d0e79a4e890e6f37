/**
 * After the quiet time: is every accepted file stored once and whole, or dead for a true reason, and is the store tidy?
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { openObject } from '@sealfleet/format'
import { HsmPool } from '@sealfleet/hsm'
import { openRecords } from '@sealfleet/records'
import { getFile } from '@sealfleet/records/files'
import { openStore } from '@sealfleet/store'
import pg from 'pg'
import { checkout } from '../lib/places.mjs'
import { need } from './world.mjs'

/**
 * The command's exit status and its JSON.
 *
 * @param {Record<string, string>} env @param {string[]} args
 */
export async function sealfleet(env, args) {
  const bin = join(checkout, 'apps', 'cli', 'bin', 'sealfleet.mjs')
  const child = spawn(process.execPath, [bin, ...args, '--json'], { env: { ...process.env, ...env } })
  let text = ''
  let errors = ''
  child.stdout.on('data', (chunk) => (text += String(chunk)))
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  const [status] = await once(child, 'close')
  const lines = text
    .trim()
    .split('\n')
    .filter((line) => line !== '')
  // A command that failed to run has checked nothing: the run must not continue as if it had.
  if (Number(status) > 1) throw new Error(`sealfleet ${args.join(' ')} ended with ${String(status)}: ${text}${errors}`)
  try {
    return { status: Number(status), json: JSON.parse(text === '' ? '{}' : text), errors }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return { status: Number(status), json: lines.map((line) => JSON.parse(line)), errors }
  }
}

/** Open files by state, once there are none or the patience is over. @param {pg.Pool} sql @param {number} patienceMs */
export async function untilQuiet(sql, patienceMs, /** @type {(open: number) => void} */ onLook) {
  const end = performance.now() + patienceMs
  for (;;) {
    const { rows } = await sql.query(`SELECT count(*)::int AS n FROM files WHERE state IN ('QUEUED', 'RUNNING')`)
    onLook(rows[0].n)
    if (rows[0].n === 0 || performance.now() > end) return Number(rows[0].n)
    await delay(500)
  }
}

/** @param {import('./world.mjs').World} world */
export function openLook(world) {
  const sql = new pg.Pool({ connectionString: need(world.direct, 'SEALFLEET_DATABASE_URL'), max: 4 })
  sql.on('error', () => undefined)
  sql.on('connect', (client) => client.on('error', () => undefined))
  return sql
}

/**
 * Opens every stored file, as a reader does, and compares it with the versions of its source.
 *
 * @param {import('./world.mjs').World} world
 * @param {import('./sources.mjs').Sources} sources
 * @param {(done: number) => void} onProgress
 * @returns {Promise<{ restored: number, wrong: string[] }>}
 */
export async function restoreAll(world, sources, onProgress) {
  const env = world.direct
  const connection = await openRecords(need(env, 'SEALFLEET_DATABASE_URL'))
  const store = await openStore({
    endpoint: need(env, 'SEALFLEET_S3_ENDPOINT'),
    region: need(env, 'SEALFLEET_S3_REGION'),
    bucket: need(env, 'SEALFLEET_S3_BUCKET'),
    accessKeyId: need(env, 'SEALFLEET_S3_ACCESS_KEY_ID'),
    secretAccessKey: need(env, 'SEALFLEET_S3_SECRET_ACCESS_KEY'),
  })
  const hsm = await HsmPool.open({
    tokens: [
      {
        module: need(env, 'SEALFLEET_PKCS11_MODULE'),
        token: need(env, 'SEALFLEET_PKCS11_TOKEN'),
        pin: { kind: 'file', path: need(env, 'SEALFLEET_PKCS11_PIN_FILE') },
        env: { SOFTHSM2_CONF: need(env, 'SOFTHSM2_CONF') },
      },
    ],
    agents: 1,
    sessions: 4,
  })
  /** @type {string[]} */
  const wrong = []
  let restored = 0
  const queue = [...sources.all.values()].values()
  const lane = async () => {
    for (const source of queue) {
      const attempt = (await getFile(connection, source.fileId))?.committed
      if (!attempt) continue
      try {
        const pin = attempt.objectVersion === null ? { etag: attempt.etag ?? '' } : { version: attempt.objectVersion }
        const reader = store.reader({ key: attempt.objectKey, length: attempt.objectLength, ...pin })
        const opened = await openObject(reader, {
          keys: hsm,
          unwrapper: hsm,
          context: Buffer.alloc(0),
          expectedFileId: source.fileId,
          ...(attempt.wrappedNonces !== null && { wrappedNonces: attempt.wrappedNonces }),
        })
        const hash = createHash('sha256')
        try {
          for await (const chunk of opened.readAll()) hash.update(chunk)
        } finally {
          opened[Symbol.dispose]()
        }
        if (!source.versions.has(hash.digest('hex'))) wrong.push(`${source.fileId}: not what its source ever was`)
      } catch (error) {
        wrong.push(`${source.fileId}: ${String(error)}`)
      }
      onProgress(++restored)
    }
  }
  try {
    await Promise.all([lane(), lane(), lane(), lane()])
  } finally {
    await hsm.close()
    store.close()
    await connection.close()
  }
  return { restored, wrong }
}

/** Checks by the database alone: a list of complaints per check. @param {pg.Pool} sql */
export async function booksOf(sql) {
  /** @param {string} text @returns {Promise<string[]>} */
  const ids = async (text) => (await sql.query(text)).rows.map(({ id }) => String(id))
  return {
    'stored twice': await ids(
      `SELECT file_id AS id FROM attempts WHERE state = 'COMMITTED' GROUP BY file_id HAVING count(*) > 1`,
    ),
    'stored without a committed attempt': await ids(
      `SELECT id FROM files f WHERE state = 'STORED' AND NOT EXISTS (
         SELECT FROM attempts a WHERE a.id = f.committed_attempt_id AND a.state = 'COMMITTED')`,
    ),
    'nonce used twice': await ids(
      `SELECT encode(nonce_id, 'hex') AS id FROM (
         SELECT nonce_id_enc AS nonce_id FROM attempts UNION ALL SELECT nonce_id_sig FROM attempts) n
       GROUP BY nonce_id HAVING count(*) > 1`,
    ),
    'attempt number used twice': await ids(
      `SELECT file_id AS id FROM attempts GROUP BY file_id, attempt_no HAVING count(*) > 1`,
    ),
    'dead without a letter': await ids(
      `SELECT id FROM files f WHERE state = 'DEAD' AND NOT EXISTS (
         SELECT FROM dead_letters d WHERE d.file_id = f.id AND d.state = 'OPEN' AND d.job_id IS NULL)`,
    ),
  }
}

/**
 * Keys in the bucket that no STORED file names, missing objects of STORED files, and unfinished uploads.
 *
 * @param {import('./world.mjs').World} world
 * @param {pg.Pool} sql
 */
export async function storeAgainstRecords(world, sql) {
  const env = world.direct
  const store = await openStore({
    endpoint: need(env, 'SEALFLEET_S3_ENDPOINT'),
    region: need(env, 'SEALFLEET_S3_REGION'),
    bucket: need(env, 'SEALFLEET_S3_BUCKET'),
    accessKeyId: need(env, 'SEALFLEET_S3_ACCESS_KEY_ID'),
    secretAccessKey: need(env, 'SEALFLEET_S3_SECRET_ACCESS_KEY'),
  })
  try {
    const there = new Set()
    // The fleet's mark and the objects of the probe are not files.
    for await (const { key } of store.list('')) if (!/^\.sealfleet(?:-probe)?\//.test(key)) there.add(key)
    /** @type {string[]} */
    const uploads = []
    for await (const { key } of store.listUploads('')) if (!key.startsWith('.sealfleet-probe/')) uploads.push(key)
    const { rows } = await sql.query(
      `SELECT a.object_key AS key FROM files f JOIN attempts a ON a.id = f.committed_attempt_id WHERE f.state = 'STORED'`,
    )
    const kept = new Set(rows.map(({ key }) => String(key)))
    return {
      orphans: [...there].filter((key) => !kept.has(key)).map(String),
      missing: [...kept].filter((key) => !there.has(key)),
      uploads,
      objects: there.size,
    }
  } finally {
    store.close()
  }
}

/**
 * The time from the death of a worker until another had stored its file.
 *
 * @param {pg.Pool} sql
 * @param {ReadonlyMap<string, Date>} deaths by worker id
 * @returns {Promise<number[]>} milliseconds, sorted
 */
export async function recoveries(sql, deaths) {
  const { rows } = await sql.query(
    `SELECT split_part(a.owner, '/', 1) AS worker, f.stored_at, c.generation = a.generation AS same
     FROM attempts a JOIN files f ON f.id = a.file_id JOIN attempts c ON c.id = f.committed_attempt_id
     WHERE a.state = 'ABANDONED' AND a.failure_code IS NULL AND f.state = 'STORED'`,
  )
  return rows
    .flatMap(({ worker, stored_at: storedAt, same }) => {
      const death = deaths.get(worker)
      return death === undefined || !same ? [] : [storedAt.getTime() - death.getTime()]
    })
    .sort((a, b) => a - b)
}

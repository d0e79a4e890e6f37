/**
 * The environment of a benchmark of a whole worker: a database, a token with keys, a queue of its own and a folder for
 * sources, on the tests' private services; and functions to hand files in and wait for them.
 */
import { once } from 'node:events'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fork, spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { openIngestClient, waitForFiles } from '@sealfleet/queue'
import { openRecords } from '@sealfleet/records'
import { acceptFiles, fileStates, getFile } from '@sealfleet/records/files'
import { redisUrl } from '@sealfleet/testkit'
import { makeKeys, startFleet } from '@sealfleet/testkit/fleet'
import { testEnvironment } from '../../lib/environment.mjs'
import { checkout, testHome } from '../../lib/places.mjs'
import { freePort } from '../../lib/ports.mjs'
import { startServices } from '../../lib/private-services.mjs'
import { Refusal } from '../../lib/say.mjs'

/** Closes everything that was opened, last first, on every path. Node 20 has no AsyncDisposableStack. */
export class Closers {
  /** @type {(() => unknown)[]} */
  #closers = []

  /** @param {() => unknown} close */
  defer(close) {
    this.#closers.push(close)
  }

  /** @template {AsyncDisposable} T @param {T} thing @returns {T} */
  own(thing) {
    this.defer(() => thing[Symbol.asyncDispose]())
    return thing
  }

  async close() {
    for (let close = this.#closers.pop(); close; close = this.#closers.pop()) await close()
  }
}

/** @param {Closers} closers @param {string[]} stores services beside Redis and Postgres */
export async function openWorld(closers, stores = []) {
  const state = await startServices({ home: testHome, names: ['redis', 'postgres', ...stores] })
  Object.assign(process.env, await testEnvironment(testHome, state))
  const { dir: folder, root, database, token, env } = closers.own(await startFleet({ s3: 'none' }))
  const connection = closers.own(await openRecords(database.url))
  await makeKeys(connection, token, { id: 'default' })
  const prefix = String(env['SEALFLEET_QUEUE_PREFIX'])
  /** @type {Record<string, string>} */
  const variables = { ...env, ...token.env }
  return { folder, root, records: connection, prefix, env: variables }
}

/** @typedef {Awaited<ReturnType<typeof openWorld>>} World */

/**
 * Sparse files: they read as zeros and take no room.
 *
 * @param {World} world @param {number} count @param {number} size
 */
export async function makeSources({ root }, count, size) {
  const names = Array.from({ length: count }, (_, i) => `source-${i + 1}`)
  for (const name of names) {
    await writeFile(join(root, name), '')
    await truncate(join(root, name), size)
  }
  return names
}

/** @param {World} world @param {string[]} names @returns {Promise<string[]>} file ids */
export async function enqueue({ records: connection, prefix }, names) {
  const producer = await openIngestClient({
    redisUrl: redisUrl(),
    prefix,
    accept: (files) => acceptFiles(connection, files),
  })
  try {
    const results = await producer.client.enqueueMany(names.map((name) => ({ root: 'in', path: name })))
    return results.map(({ fileId, error }) => {
      if (fileId === undefined) throw error ?? new Error('a file was not accepted')
      return fileId
    })
  } finally {
    await producer[Symbol.asyncDispose]()
  }
}

/**
 * Resolves when every file is in a final state. A file that is not STORED is an error. It asks for many files in one
 * statement: what asks about each takes the processor from the worker that is measured.
 *
 * @param {World} world @param {string[]} ids @param {AbortSignal} signal
 */
export async function untilStored({ records: connection }, ids, signal) {
  const look = (/** @type {readonly string[]} */ wanted) => fileStates(connection, wanted)
  const states = await waitForFiles(look, ids, { pollMs: 100, maxPollMs: 100, signal })
  const failed = ids.filter((id) => states.get(id)?.state !== 'STORED')
  if (failed.length > 0) throw new Refusal(`${failed.length} of ${ids.length} files were not stored`)
}

/** @param {World} world @param {string[]} ids @returns {Promise<string[]>} the keys of their objects */
export async function objectKeys({ records: connection }, ids) {
  const files = await Promise.all(ids.map((id) => getFile(connection, id)))
  return files.map((found) => found?.committed?.objectKey ?? '')
}

/** The S3 server that keeps nothing, in its own process. @param {Closers} closers @param {number} latency in ms */
export async function startSink(closers, latency) {
  const child = fork(join(import.meta.dirname, 'sink.mjs'), [String(latency)], { stdio: ['ignore', 2, 2, 'ipc'] })
  closers.defer(() => child.connected && child.disconnect())
  const [{ port }] = await once(child, 'message')
  const env = {
    SEALFLEET_S3_ENDPOINT: `http://127.0.0.1:${port}`,
    SEALFLEET_S3_BUCKET: 'sink',
    SEALFLEET_S3_ACCESS_KEY_ID: 'sink',
    SEALFLEET_S3_SECRET_ACCESS_KEY: 'sink-keeps-nothing',
  }
  return {
    env,
    /** @returns {Promise<import('./sink.mjs').Report>} */
    report: async () => {
      const answered = once(child, 'message')
      child.send('report')
      return (await answered)[0]
    },
  }
}

/**
 * A real worker, as it is started anywhere: its own program, nothing set but addresses and what `env` adds. Resolves when
 * it takes jobs.
 *
 * @param {Closers} closers @param {World} world @param {Record<string, string>} env
 */
export async function startWorker(closers, { folder, env: addresses }, env) {
  const log = join(folder, 'worker.log')
  const port = await freePort()
  const output = openSync(log, 'a', 0o600)
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('SEALFLEET_'))
  const child = spawn(process.execPath, [join(checkout, 'bundle', 'worker.mjs')], {
    env: { ...Object.fromEntries(inherited), ...addresses, SEALFLEET_WORKER_PORT: String(port), ...env },
    stdio: ['ignore', output, output],
  })
  const ended = once(child, 'exit')
  closers.defer(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
  })
  const failed = async () => {
    const [status, signal] = await ended
    const tail = (await readFile(log, 'utf8')).trimEnd().split('\n').slice(-10).join('\n')
    throw new Refusal(`the worker ended (${signal ?? status}):\n${tail}`)
  }
  const ready = async () => {
    while (!(await isReady(port))) await delay(100)
  }
  const ending = failed()
  await Promise.race([ready(), ending])
  return { pid: /** @type {number} */ (child.pid), port, ending, logTail: async () => await readFile(log, 'utf8') }
}

/** @param {number} port */
async function isReady(port) {
  try {
    return (await fetch(`http://127.0.0.1:${port}/readyz`)).ok
  } catch (error) {
    if (error instanceof TypeError) return false
    throw error
  }
}

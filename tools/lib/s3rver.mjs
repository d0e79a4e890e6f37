/**
 * A private s3rver (npm) on 127.0.0.1: a small S3 server on disk that starts at once, for a first look and as the
 * suite's "store with few abilities": it ignores If-None-Match and has no ListMultipartUploads. Its key pair is made at
 * the first start. Its data outlives a stop; a new start serves the same directory, on the same port if that is still
 * free.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { answersHttp, isOurs, logTail, startDaemon, stopDaemon, until } from './s3-daemons.mjs'
import { freePort } from './ports.mjs'

/**
 * @typedef {{ endpoint: string, accessKeyId: string, secretAccessKey: string, region: string, pids: number[] }} S3Instance
 * @typedef {(line: string) => void} Log
 */

const REGION = 'us-east-1'
/** The key pair of an unpatched s3rver; servers started with it asked for no credentials. */
const EVERYBODY = 'S3RVER'
const PROGRAM = fileURLToPath(new URL('s3rver-server.mjs', import.meta.url))

/**
 * Starts s3rver below `dir` (data in `dir/data`), or returns the one that runs there already.
 *
 * @param {{ dir: string, log?: Log, port?: number }} options `port`: insist on this one
 * @returns {Promise<S3Instance>}
 */
export async function startS3rver({ dir, log = () => undefined, port }) {
  const root = resolve(dir)
  const running = await checkS3rver({ dir: root })
  if (running && (port === undefined || running.endpoint.endsWith(`:${port}`))) return running
  const earlier = await loadState(root)
  await stopS3rver({ dir: root, log })
  await mkdir(join(root, 'data'), { recursive: true })
  await mkdir(join(root, 'log'), { recursive: true })

  const before = earlier ? Number(new URL(earlier.endpoint).port) : undefined
  const chosen = port ?? (await freePort(before))
  const { accessKeyId, secretAccessKey } = keyPair(earlier)
  const pid = await startDaemon({
    command: process.execPath,
    // s3rver enciphers its continuation tokens with DES, which OpenSSL 3 keeps in its legacy provider: without it
    // every list of more than a page is a 500.
    args: ['--openssl-legacy-provider', PROGRAM, join(root, 'data'), String(chosen)],
    cwd: root,
    env: { ...process.env, S3RVER_ACCESS_KEY_ID: accessKeyId, S3RVER_SECRET_ACCESS_KEY: secretAccessKey },
    logFile: join(root, 'log', 's3rver.out'),
  })
  const instance = { endpoint: `http://127.0.0.1:${chosen}`, accessKeyId, secretAccessKey, region: REGION, pids: [pid] }
  await saveState(root, instance)
  try {
    await until(
      async () => {
        if (!(await isOurs(pid, root))) throw new Error('s3rver ended while it was starting')
        return await answersHttp(instance.endpoint)
      },
      { timeoutMs: 30_000, what: 's3rver to answer' },
    )
  } catch (error) {
    const tail = await logTail(join(root, 'log'))
    await stopS3rver({ dir: root, log })
    throw new Error(`the private s3rver did not start: ${String(error)}\n${tail}`, { cause: error })
  }
  log(`s3rver: ${instance.endpoint}`)
  return instance
}

/** Made once and kept: applications have it in their settings. @param {S3Instance | undefined} earlier */
function keyPair(earlier) {
  if (earlier && earlier.secretAccessKey !== EVERYBODY) return earlier
  return {
    accessKeyId: `SF${randomBytes(9).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(20).toString('hex'),
  }
}

/**
 * The instance below `dir` when it runs and answers, else undefined.
 *
 * @param {{ dir: string }} options
 * @returns {Promise<S3Instance | undefined>}
 */
export async function checkS3rver({ dir }) {
  const root = resolve(dir)
  const state = await loadState(root)
  if (!state || state.pids.length === 0 || state.secretAccessKey === EVERYBODY) return undefined
  for (const pid of state.pids) if (!(await isOurs(pid, root))) return undefined
  return (await answersHttp(state.endpoint)) ? state : undefined
}

/**
 * Ends the s3rver recorded below `dir`; its data stays.
 *
 * @param {{ dir: string, log?: Log }} options
 */
export async function stopS3rver({ dir, log = () => undefined }) {
  const root = resolve(dir)
  const state = await loadState(root)
  if (!state || state.pids.length === 0) return
  log('s3rver: stopping')
  for (const pid of state.pids) await stopDaemon(pid, root)
  await saveState(root, { ...state, pids: [] })
}

/**
 * @param {string} root
 * @returns {Promise<S3Instance | undefined>}
 */
async function loadState(root) {
  const file = join(root, 'instance.json')
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) await rm(file)
    else if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error
    return undefined
  }
}

/**
 * @param {string} root
 * @param {S3Instance} state
 */
async function saveState(root, state) {
  const file = join(root, 'instance.json')
  await writeFile(`${file}.new`, JSON.stringify(state, null, 2), { mode: 0o600 })
  await rename(`${file}.new`, file)
}

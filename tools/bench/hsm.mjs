/**
 * `npm run bench -- hsm [--json] [--files 400] [--latencies 0,1,5,20] [--sessions 4,8,16]`: files a second of one worker
 * against the latency of its HSM and the number of its sessions.
 *
 * A real worker process (SEALFLEET_CONCURRENCY=32, the other settings default) seals files of 16 KiB on radosgw. Its token
 * is SoftHSM behind the fault module of the tests, which sleeps before each C_Sign, outside of any lock, as a call to an
 * HSM over the network waits. Each value of --sessions (SEALFLEET_HSM_SESSIONS, of each of the two agents) has a worker of
 * its own; each value of --latencies, in milliseconds, is one run of --files files from the enqueueing until all are
 * STORED. Latency 0 is always measured, and first. The whole default table takes some three minutes.
 *
 * The module counts the calls of C_Sign. With C of them a file, each L long, and S sessions in all agents together, the
 * token allows S / (C · L) files a second. `expected` is the lesser of that and of the rate at latency 0, and
 * `of_expected` is the measured rate divided by it: what is missing is neither the token's sessions nor what a file costs
 * without latency.
 *
 * Sealing derives twice, and compares the key's known answer after the second time (docs/decisions/0020, 0022): three
 * calls for one. Nothing switches that off in a worker, so the pool is also measured alone, by the keys of 32 files at
 * once and the same number of agents and sessions, in this process: `confirmed` as for sealing, `once` as for opening.
 */
import { parseArgs } from 'node:util'
import { Faulty, freshBucket } from '@sealfleet/testkit'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { Closers, enqueue, openWorld, startWorker, untilStored } from './memory/world.mjs'
import { derivationRates, openPool } from './shared/derive.mjs'
import { makeSmallFiles, storeSettings } from './shared/small.mjs'

const USAGE = 'usage: npm run bench -- hsm [--json] [--files 400] [--latencies 0,1,5,20] [--sessions 4,8,16]'
const FILE_BYTES = 16 * 1024
const CONCURRENCY = 32
const AGENTS = 2
const WARM_UP_FILES = 600

/**
 * @typedef {object} Measured
 * @property {number} sessions of each agent
 * @property {number} latency_ms
 * @property {number} files_per_s
 * @property {number} calls_per_file
 * @property {{ confirmed: number, once: number }} pool_alone_files_per_s
 */

/** @param {string} text @param {number} least */
function numbers(text, least) {
  const list = text.split(',').map(Number)
  if (list.some((one) => !Number.isInteger(one) || one < least)) throw new Refusal(`${text} is not usable\n${USAGE}`)
  return list
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        files: { type: 'string', default: '400' },
        latencies: { type: 'string', default: '0,1,5,20' },
        sessions: { type: 'string', default: '4,8,16' },
      },
    })
    const [files = 0] = numbers(values.files, 1)
    const latencies = [...new Set([0, ...numbers(values.latencies, 0)])]
    return { json: values.json, files, latencies, sessions: numbers(values.sessions, 1) }
  } catch (error) {
    if (error instanceof TypeError) throw new Refusal(`${error.message}\n${USAGE}`)
    throw error
  }
}

/** @param {ReturnType<typeof options>} asked @returns {Promise<Measured[]>} */
async function measure({ files, latencies, sessions: sessionCounts }) {
  const closers = new Closers()
  try {
    const world = await openWorld(closers, ['radosgw'])
    const bucket = closers.own(await freshBucket('radosgw'))
    const { SEALFLEET_PKCS11_MODULE: module = '', SEALFLEET_PKCS11_TOKEN: token = '', SOFTHSM2_CONF = '' } = world.env
    const pin = /** @type {const} */ ({ kind: 'file', path: world.env['SEALFLEET_PKCS11_PIN_FILE'] ?? '' })
    const faulty = closers.own(await Faulty.over({ module, token, pin, env: { SOFTHSM2_CONF } }))
    const seal = async (/** @type {string} */ folder, /** @type {number} */ count) => {
      const paths = await makeSmallFiles(world, folder, count, FILE_BYTES)
      const [called, began] = [await faulty.calls('C_Sign'), performance.now()]
      await untilStored(world, await enqueue(world, paths), AbortSignal.timeout(600_000))
      const seconds = (performance.now() - began) / 1000
      return { files_per_s: count / seconds, calls_per_file: (await faulty.calls('C_Sign')) - called }
    }
    /** @type {Measured[]} */
    const measured = []
    for (const sessions of sessionCounts) {
      const ofThisWorker = new Closers()
      try {
        await faulty.rules()
        const { ending } = await startWorker(ofThisWorker, world, {
          ...storeSettings(bucket),
          ...faulty.token.env,
          SEALFLEET_PKCS11_MODULE: faulty.token.module,
          SEALFLEET_CONCURRENCY: String(CONCURRENCY),
          SEALFLEET_HSM_AGENTS: String(AGENTS),
          SEALFLEET_HSM_SESSIONS: String(sessions),
        })
        ending.catch(() => undefined) // at the end it is stopped
        await Promise.race([seal(`warm-up-${sessions}`, WARM_UP_FILES), ending])
        const pool = await openPool(faulty.token, { agents: AGENTS, sessions, callers: CONCURRENCY })
        ofThisWorker.defer(() => pool.close())
        for (const latency of latencies) {
          await faulty.rules(...(latency > 0 ? [`C_Sign delay ${latency}`] : []))
          const { files_per_s, calls_per_file } = await Promise.race([seal(`${sessions}-${latency}`, files), ending])
          measured.push({
            sessions,
            latency_ms: latency,
            files_per_s,
            calls_per_file: calls_per_file / files,
            pool_alone_files_per_s: await derivationRates(pool, CONCURRENCY),
          })
          say(`${AGENTS} × ${sessions} sessions, ${latency} ms: ${files_per_s.toFixed(0)} files/s`)
        }
      } finally {
        await ofThisWorker.close()
      }
    }
    return measured
  } finally {
    await closers.close()
  }
}

/** @param {Measured} one @param {readonly Measured[]} all */
function judged(one, all) {
  const { sessions, latency_ms: latency, files_per_s: rate, calls_per_file: calls } = one
  const free = all.find((other) => other.sessions === sessions && other.latency_ms === 0)?.files_per_s ?? rate
  const token = latency === 0 ? null : (AGENTS * sessions * 1000) / (calls * latency)
  const expected = Math.min(free, token ?? free)
  return {
    ...one,
    sessions_of_all_agents: AGENTS * sessions,
    token_allows: token,
    expected,
    of_expected: rate / expected,
  }
}

await runMain(async () => {
  const asked = options()
  const measured = await measure(asked)
  const table = measured.map((one) => judged(one, measured))
  if (asked.json) {
    const about = { files: asked.files, file_bytes: FILE_BYTES, concurrency: CONCURRENCY, agents: AGENTS }
    console.log(JSON.stringify({ benchmark: 'hsm', ...about, table }, null, 2))
    return 0
  }
  console.log('sessions  ms a call  files/s  calls a file  token allows  expected  of expected  confirmed   once')
  for (const row of table) {
    const shown = [
      [row.sessions_of_all_agents.toFixed(0), 8],
      [row.latency_ms.toFixed(0), 9],
      [row.files_per_s.toFixed(0), 7],
      [row.calls_per_file.toFixed(1), 12],
      [row.token_allows?.toFixed(0) ?? '', 12],
      [row.expected.toFixed(0), 8],
      [row.of_expected.toFixed(2), 11],
      [row.pool_alone_files_per_s.confirmed.toFixed(0), 9],
      [row.pool_alone_files_per_s.once.toFixed(0), 5],
    ]
    console.log(shown.map(([text, width]) => String(text).padStart(Number(width))).join('  '))
  }
  return 0
})

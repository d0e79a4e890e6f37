/**
 * The run: an hour's faults in a few minutes, then a quiet time, then every guarantee is checked. See docs/CHAOS.md.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { say } from '../lib/say.mjs'
import { FAULTS, placeOf } from './faults.mjs'
import { startFleet } from './fleet.mjs'
import { startProducer } from './producer.mjs'
import { makeReport, printReport } from './report.mjs'
import { makeSchedule } from './schedule.mjs'
import { booksOf, openLook, recoveries, restoreAll, sealfleet, storeAgainstRecords, untilQuiet } from './verify.mjs'
import { home, openWorld } from './world.mjs'

const WORKERS = 3
/** Average time between faults; in a run of less than a minute they come faster, so that each kind occurs. */
const FAULT_EVERY_MS = 1_500
const SHORT_FAULT_EVERY_MS = 1_000
const FILE_EVERY_MS = 120
/** After the last fault: time for leases, breakers, back-offs and the outbox to settle. */
const QUIET_MS = 180_000

/** All services answer again by then, so upstream's last requests succeed. */
const ACCEPTED_MS = 60_000

/**
 * @param {{ minutes: number, seed: string, json?: string | undefined, signal: AbortSignal }} options
 * @returns {Promise<boolean>} whether every check held
 */
export async function runChaos({ minutes, seed, json, signal }) {
  const everyMs = minutes < 1 ? SHORT_FAULT_EVERY_MS : FAULT_EVERY_MS
  const schedule = makeSchedule({ seed, minutes, workers: WORKERS, everyMs })
  say(`chaos: seed ${seed}, ${minutes} min, ${schedule.length} faults, ${WORKERS} workers`)
  const world = await openWorld()
  const logs = join(home, 'run')
  await mkdir(logs, { recursive: true })
  await writeFile(join(logs, 'schedule.json'), `${JSON.stringify({ seed, minutes, schedule }, null, 1)}\n`)
  const sql = openLook(world)
  const fleet = startFleet({ env: world.env, workers: WORKERS, logs })
  const producer = startProducer({ world, seed, everyMs: FILE_EVERY_MS })
  // A signal ends the run at any await, and stops everything that was started.
  const interrupted = new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('interrupted', { cause: signal.reason })), { once: true })
  })
  const run = async () => {
    const injected = await attack({
      schedule,
      world,
      fleet,
      producer,
      minutes,
      signal,
      sql,
      log: join(logs, 'faults.log'),
    })
    say('chaos: quiet; waiting for every file to come to its end')
    world.s3.heal()
    world.postgres.heal()
    await within(ACCEPTED_MS, producer.finish(), () => `upstream is still refused: ${producer.lastRefusal()}`)
    const open = await untilQuiet(sql, QUIET_MS, (n) => progress(`${n} files open`))
    const report = await judge({ world, fleet, producer, sql, open, ...injected, seed, minutes })
    printReport(report)
    if (json !== undefined) await writeFile(json, `${JSON.stringify(report, null, 2)}\n`)
    if (report.complaints.length > 0) say(`chaos: logs of the processes are in ${logs}`)
    return report.complaints.length === 0
  }
  try {
    return await /** @type {Promise<boolean>} */ (Promise.race([run(), interrupted]))
  } finally {
    await fleet.stop()
    await sql.end()
    await world.close()
  }
}

/**
 * @param {{ schedule: import('./schedule.mjs').Fault[], world: import('./world.mjs').World, fleet: import('./fleet.mjs').Fleet,
 *   producer: import('./producer.mjs').Producer, minutes: number, signal: AbortSignal, sql: import('pg').Pool, log: string }} options
 */
async function attack({ schedule, world, fleet, producer, minutes, signal, sql, log }) {
  /** @type {Map<string, Date>} */
  const deaths = new Map()
  /** @type {Map<string, { struck: number, missed: number, failed: string[] }>} */
  const kinds = new Map()
  /** @type {Map<string, Promise<unknown>>} */
  const lanes = new Map()
  /** @type {string[]} */
  const lines = []
  const over = new AbortController()
  const target = {
    world,
    fleet,
    producer,
    over: over.signal,
    onDeath: (/** @type {string} */ id) => void deaths.set(id, new Date()),
  }
  const begin = performance.now()
  const passed = () => performance.now() - begin
  const one = async (/** @type {import('./schedule.mjs').Fault} */ fault) => {
    const tally = kinds.get(fault.kind) ?? { struck: 0, missed: 0, failed: [] }
    kinds.set(fault.kind, tally)
    if (over.signal.aborted) return
    const from = passed()
    try {
      const struck = await FAULTS[fault.kind]?.(fault, target)
      if (struck === true) tally.struck++
      else tally.missed++
      lines.push(
        `${Math.round(from)}-${Math.round(passed())} ms ${fault.kind} ${fault.detail} worker ${fault.worker}: ${struck === true ? 'struck' : 'nothing to strike'}`,
      )
    } catch (error) {
      // The fault's own target could not be reached at that moment.
      tally.failed.push(String(error))
      lines.push(`${Math.round(from)} ms ${fault.kind}: could not be done: ${String(error)}`)
    }
  }
  for (const fault of schedule) {
    const wait = fault.atMs - passed()
    if (wait > 0) await delay(wait, undefined, { signal })
    signal.throwIfAborted()
    const place = placeOf(fault)
    lanes.set(
      place,
      (lanes.get(place) ?? Promise.resolve()).then(() => one(fault)),
    )
    const { rows } = await sql
      .query(`SELECT state::text, count(*)::int AS n FROM files GROUP BY 1 ORDER BY 1`)
      .catch(() => ({ rows: [] }))
    progress(
      `${Math.round(passed() / 1000)} of ${minutes * 60} s; ${fault.kind}; ${rows.map(({ state, n }) => `${state} ${n}`).join(', ')}`,
    )
  }
  const left = minutes * 60_000 - passed()
  if (left > 0) await delay(left, undefined, { signal })
  over.abort(new Error('the faults are over'))
  await Promise.all(lanes.values())
  await writeFile(log, `${lines.join('\n')}\n`)
  return { kinds, deaths }
}

/**
 * @param {{ world: import('./world.mjs').World, fleet: import('./fleet.mjs').Fleet, producer: import('./producer.mjs').Producer,
 *   sql: import('pg').Pool, open: number, kinds: Map<string, { struck: number, missed: number, failed: string[] }>,
 *   deaths: Map<string, Date>, seed: string, minutes: number }} options
 */
async function judge({ world, fleet, producer, sql, open, kinds, deaths, seed, minutes }) {
  /** @type {string[]} */
  const complaints = []
  const complain = (/** @type {string} */ what, /** @type {readonly string[]} */ ids) => {
    if (ids.length > 0) complaints.push(`${what}: ${ids.length}: ${ids.slice(0, 5).join(', ')}`)
  }
  const env = world.direct
  if (open > 0) complaints.push(`${open} files came to no end within ${QUIET_MS / 1000} s of quiet`)

  // On-call's part: which files are dead, and is the reason true?
  const letters = /** @type {{ id: string, code: string, fileId: string | null, jobId: string | null }[]} */ (
    (await sealfleet(env, ['dlq', 'ls', '--limit', '1000'])).json.letters
  )
  const deadByCode = /** @type {Record<string, number>} */ ({})
  for (const { code } of letters) deadByCode[code] = (deadByCode[code] ?? 0) + 1
  const reasons = await deathsOf(sql)
  complain(
    'dead for no true reason',
    letters
      .filter(({ code, fileId }) => !isTrue(code, fileId, producer, reasons))
      .map(({ id, code }) => `${id} ${code}`),
  )
  const refusals = letters.filter(({ jobId }) => jobId !== null)
  const dead = letters.filter(({ jobId }) => jobId === null)
  for (const { fileId } of dead) {
    const source = producer.sources.all.get(fileId ?? '')
    if (source !== undefined) await producer.sources.putBack(source)
  }
  if (dead.length > 0) {
    const replay = await sealfleet(env, ['dlq', 'replay', ...dead.map(({ id }) => id), '--wait', '--rate', '100'])
    if (replay.status !== 0) complaints.push(`dlq replay ended with ${replay.status}: ${replay.errors}`)
  }
  if (refusals.length > 0) {
    const discard = await sealfleet(env, [
      'dlq',
      'discard',
      ...refusals.map(({ id }) => id),
      '--reason',
      'made by the chaos run',
    ])
    if (discard.status !== 0) complaints.push(`dlq discard ended with ${discard.status}: ${discard.errors}`)
  }
  const reconciled = await sealfleet(env, ['maintenance', 'run', 'reconcile', '--idle', '0', '--dry-run'])
  if (reconciled.status !== 0 || reconciled.json.lost !== 0)
    complaints.push(`reconcile: ${JSON.stringify(reconciled.json)}`)

  // All processes have ended: the store's content no longer changes.
  await fleet.stop()
  for (const mode of [[], ['--scan']]) {
    const swept = await sealfleet(env, ['maintenance', 'run', 'sweep', ...mode, '--grace', '0'])
    if (swept.status !== 0) complaints.push(`sweep ${mode.join('')}: ${JSON.stringify(swept.json)} ${swept.errors}`)
  }
  const { orphans, missing, uploads, objects } = await storeAgainstRecords(world, sql)
  complain('objects that no stored file names', orphans)
  complain('stored files without their object', missing)
  complain('unfinished uploads', uploads)

  const { restored, wrong } = await restoreAll(world, producer.sources, (n) => progress(`${n} files restored`))
  complain('restored wrongly', wrong)
  for (const [what, ids] of Object.entries(await booksOf(sql))) complain(what, ids)
  complain('keystream used twice', world.keystream.findings)

  const { rows } = await sql.query('SELECT id, state::text FROM files')
  const states = new Map(rows.map(({ id, state }) => [String(id), String(state)]))
  const asked = [...producer.sources.all.keys()]
  const lost = asked.filter((id) => states.get(id) !== 'STORED')
  complain('files that are not stored in the end', lost)
  const status = await sealfleet(env, ['status'])
  const recovered = await recoveries(sql, deaths)
  return makeReport({
    ...{ seed, minutes, kinds, deaths, complaints, deadByCode, recovered, objects, restored },
    ...{ accepted: asked.length, lost: lost.length, status: status.json, keystream: world.keystream },
    attempts: Number((await sql.query('SELECT count(*)::int AS n FROM attempts')).rows[0].n),
    starts: fleet.workers.reduce((sum, slot) => sum + slot.starts, 0),
    producerRetries: producer.refused(),
  })
}

/** Claims of each file that ended without an outcome. @param {import('pg').Pool} sql */
async function deathsOf(sql) {
  const { rows } = await sql.query('SELECT id, crashes FROM files')
  return new Map(rows.map(({ id, crashes }) => [String(id), Number(crashes)]))
}

/**
 * @param {string} code @param {string | null} fileId
 * @param {import('./producer.mjs').Producer} producer @param {Map<string, number>} crashes
 */
function isTrue(code, fileId, producer, crashes) {
  const source = producer.sources.all.get(fileId ?? '')
  switch (code) {
    case 'SOURCE_MISSING':
      return source?.there === false
    case 'SOURCE_CHANGED':
      return (source?.versions.size ?? 0) > 1
    case 'POISON':
      return (crashes.get(fileId ?? '') ?? 0) >= 3
    case 'PAYLOAD_INVALID':
    case 'REQUEST_CONFLICT':
      return producer.hostileLetters() > 0
    default:
      return false
  }
}

/** @template T @param {number} ms @param {Promise<T>} work @param {() => string} otherwise @returns {Promise<T>} */
async function within(ms, work, otherwise) {
  const patience = new AbortController()
  const late = delay(ms, undefined, { signal: patience.signal }).then(() => Promise.reject(new Error(otherwise())))
  try {
    return await Promise.race([work, late])
  } finally {
    patience.abort()
    await late.catch(() => undefined)
  }
}

let lastProgress = 0
/** @param {string} text */
function progress(text) {
  const terminal = process.stderr.isTTY
  const now = performance.now()
  if (now - lastProgress < (terminal ? 200 : 10_000)) return
  lastProgress = now
  process.stderr.write(terminal ? `\r\u001b[Kchaos: ${text}` : `chaos: ${text}\n`)
}

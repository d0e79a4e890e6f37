// node pool.mjs MODULE TOKEN PIN-FILE [ROUNDS]: what the pool costs against the token's own synchronous rate, measured right before
// each of its own, as JSON: medians of the rounds, `added` being what a call takes longer than the raw one. The first
// 300 ms of each load are not counted. Wants the key sealfleet/default/enc/s1/1.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { HsmPool } from '@sealfleet/hsm'

const execute = promisify(execFile)
const MS = 1_000
const WARM_MS = 300
const KEY = /** @type {const} */ ({ role: 'enc', domain: 'default', suite: 1, version: 1 })

const [module = '', token = '', path = '', wanted = '7'] = process.argv.slice(2)
const ROUNDS = Number(wanted)
const pin = (await readFile(path, 'utf8')).trim()
const rawScript = fileURLToPath(new URL('raw.mjs', import.meta.url))

/** @param {{ hmac(key: typeof KEY, message: Buffer): Promise<Uint8Array> }} deriver @param {number} callers @param {number} ms */
async function measure(deriver, callers, ms = MS) {
  const message = randomBytes(32)
  /** @type {number[]} */
  const times = []
  const begun = performance.now()
  const caller = async () => {
    while (performance.now() - begun < ms) {
      const at = performance.now()
      await deriver.hmac(KEY, message)
      times.push(performance.now() - at)
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  const rate = Math.round(times.length / ((performance.now() - begun) / 1000))
  times.sort((a, b) => a - b)
  const at = (/** @type {number} */ share) => Number((times[Math.floor(times.length * share)] ?? 0).toFixed(3))
  return { rate, p50ms: at(0.5), p99ms: at(0.99) }
}

/** @param {number} agents */
async function openReady(agents) {
  const pool = await HsmPool.open({ tokens: [{ module, token, pin: { kind: 'file', path } }], agents })
  while (pool.health().agents.filter(({ state }) => state === 'ready').length < agents) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return pool
}

async function rawRate() {
  const args = [rawScript, module, token, pin, 'sealfleet/default/enc/s1/1', String(MS)]
  return /** @type {{ rate: number, p50ms: number, p99ms: number }} */ (
    JSON.parse((await execute(process.execPath, args)).stdout)
  )
}

/** @param {Parameters<typeof measure>[0]} deriver @param {number} callers @param {string} name */
async function beside(deriver, callers, name) {
  await measure(deriver, callers, WARM_MS)
  // What else the machine does changes within seconds: each rate has a raw one of its own beside it.
  const raw = await rawRate()
  const { rate, p50ms, p99ms } = await measure(deriver, callers)
  raws.push(raw.rate)
  const added = { addedP50ms: p50ms - raw.p50ms, addedP99ms: p99ms - raw.p99ms }
  ;(rounds[name] ??= []).push({ rate, ratio: rate / raw.rate, p50ms, p99ms, ...added })
}

/** @param {readonly number[]} numbers */
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN

/** @typedef {'rate' | 'ratio' | 'p50ms' | 'p99ms' | 'addedP50ms' | 'addedP99ms'} Figure */
/** @type {Record<string, Record<Figure, number>[]>} */
const rounds = {}
/** @type {number[]} */
const raws = []
for (let round = 0; round < ROUNDS; round += 1) {
  for (const agents of [1, 2]) {
    const pool = await openReady(agents)
    for (const callers of [1, 4, 16]) await beside(pool, callers, `agents ${agents}, callers ${callers}`)
    for (const callers of agents === 2 ? [1, 16] : []) {
      await beside(pool.confirmed(), callers, `confirmed, callers ${callers}`)
    }
    await pool.close()
  }
}
const medians = Object.entries(rounds).map(([name, all]) => {
  /** @param {Figure} what */
  const of = (what) => Number(median(all.map((one) => one[what])).toFixed(3))
  const ratios = all.map(({ ratio }) => ratio)
  const range = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => Number(ratio.toFixed(2)))
  const added = { p50ms: of('addedP50ms'), p99ms: of('addedP99ms') }
  return [
    name,
    { per_s: Math.round(of('rate')), ratio_to_raw: of('ratio'), range, p50ms: of('p50ms'), p99ms: of('p99ms'), added },
  ]
})
console.log(JSON.stringify({ rounds: ROUNDS, raw_sync_per_s: median(raws), ...Object.fromEntries(medians) }, null, 2))

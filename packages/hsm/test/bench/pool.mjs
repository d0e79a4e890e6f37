// node pool.mjs MODULE TOKEN PIN-FILE [ROUNDS]: what the pool costs against the token's own synchronous rate, measured right before
// each of its own, as JSON: medians of the rounds. Wants the key sealfleet/default/enc/s1/1.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { HsmPool } from '@sealfleet/hsm'

const execute = promisify(execFile)
const MS = 1_500
const KEY = /** @type {const} */ ({ role: 'enc', domain: 'default', suite: 1, version: 1 })

const [module = '', token = '', path = '', wanted = '7'] = process.argv.slice(2)
const ROUNDS = Number(wanted)
const pin = (await readFile(path, 'utf8')).trim()
const rawScript = fileURLToPath(new URL('raw.mjs', import.meta.url))

/** @param {{ hmac(key: typeof KEY, message: Buffer): Promise<Uint8Array> }} deriver @param {number} callers */
async function measure(deriver, callers) {
  const message = randomBytes(32)
  /** @type {number[]} */
  const times = []
  const begun = performance.now()
  const caller = async () => {
    while (performance.now() - begun < MS) {
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
  return Number((await execute(process.execPath, args)).stdout)
}

/** @param {readonly number[]} numbers */
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN

/** @type {Record<string, { rate: number, ratio: number, p50ms: number, p99ms: number }[]>} */
const rounds = {}
/** @type {number[]} */
const raws = []
for (let round = 0; round < ROUNDS; round += 1) {
  for (const agents of [1, 2]) {
    const pool = await openReady(agents)
    for (const callers of [1, 4, 16]) {
      // What else the machine does changes within seconds: each rate has a raw one of its own beside it.
      const raw = await rawRate()
      const { rate, ...times } = await measure(pool, callers)
      raws.push(raw)
      ;(rounds[`agents ${agents}, callers ${callers}`] ??= []).push({ rate, ratio: rate / raw, ...times })
    }
    for (const callers of agents === 2 ? [1, 16] : []) {
      const raw = await rawRate()
      const { rate, ...times } = await measure(pool.confirmed(), callers)
      ;(rounds[`confirmed, callers ${callers}`] ??= []).push({ rate, ratio: rate / raw, ...times })
    }
    await pool.close()
  }
}
const medians = Object.entries(rounds).map(([name, all]) => {
  /** @param {'rate' | 'ratio' | 'p50ms' | 'p99ms'} what */
  const of = (what) => Number(median(all.map((one) => one[what])).toFixed(3))
  const ratios = all.map(({ ratio }) => ratio)
  const range = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => Number(ratio.toFixed(2)))
  return [
    name,
    { per_s: Math.round(of('rate')), ratio_to_raw: of('ratio'), range, p50ms: of('p50ms'), p99ms: of('p99ms') },
  ]
})
console.log(JSON.stringify({ rounds: ROUNDS, raw_sync_per_s: median(raws), ...Object.fromEntries(medians) }, null, 2))

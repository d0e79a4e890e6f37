// node pool.mjs MODULE TOKEN PIN-FILE: what the pool costs against the token's own synchronous rate in the same run, as JSON.
// Wants the key sealfleet/default/enc/s1/1.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { HsmPool } from '@sealfleet/hsm'

const execute = promisify(execFile)
const MS = 2_000
const KEY = /** @type {const} */ ({ role: 'enc', domain: 'default', suite: 1, version: 1 })

const [module = '', token = '', path = ''] = process.argv.slice(2)
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

const raw = Number(
  (await execute(process.execPath, [rawScript, module, token, pin, 'sealfleet/default/enc/s1/1', String(MS)])).stdout,
)
/** @type {Record<string, unknown>} */
const result = { raw_sync_per_s: raw }
for (const agents of [1, 2]) {
  const pool = await openReady(agents)
  for (const callers of [1, 4, 16]) {
    const { rate, ...times } = await measure(pool, callers)
    result[`agents_${agents}_callers_${callers}`] = {
      per_s: rate,
      ratio_to_raw: Number((rate / raw).toFixed(2)),
      ...times,
    }
  }
  if (agents === 2) result['confirmed_callers_1'] = await measure(pool.confirmed(), 1)
  if (agents === 2) result['confirmed_callers_16'] = await measure(pool.confirmed(), 16)
  await pool.close()
}
console.log(JSON.stringify(result, null, 2))

// node heal.mjs: how long the pool takes to be whole after each fault, and an agent's memory over a million operations, as
// JSON. Makes its own SoftHSM token (SEALFLEET_TEST_SOFTHSM_MODULE) behind the fault module.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { HsmPool, openKeyAdmin } from '@sealfleet/hsm'
import { Faulty, freshToken } from '@sealfleet/testkit'

const KEY = /** @type {const} */ ({ role: 'enc', domain: 'default', suite: 1, version: 1 })
const CALLERS = 16
const OPERATIONS = Number(process.argv[2] ?? 1_000_000)
const ROUNDS = 5
const FAULTS = {
  'DEVICE_ERROR once': 'C_Sign return 0x30 count=1',
  'login lost': 'C_SignInit logout count=1',
  'all sessions closed': 'C_SignInit closeall count=1',
  'module finalized': 'C_SignInit finalize count=1',
  'module aborts': 'C_Sign abort count=1',
  'C_SignInit hangs': 'C_SignInit hang count=1',
  'C_Sign hangs': 'C_Sign hang count=1',
}

const token = await freshToken()
const options = {
  module: token.module,
  token: token.label,
  pin: /** @type {const} */ ({ kind: 'file', path: token.pinFile }),
  env: token.env,
}
const admin = await openKeyAdmin(options)
await admin.generate(KEY)
await admin.close()
const faulty = await Faulty.over(options)

/** @param {HsmPool} pool @param {number} operations */
async function run(pool, operations) {
  const message = randomBytes(32)
  let left = operations
  const caller = async () => {
    while (left-- > 0) await pool.hmac(KEY, message)
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
}

/** From the fault until 16 operations are answered and both agents are ready again, milliseconds. @param {string} rule */
async function heal(rule) {
  await faulty.rules()
  const pool = await HsmPool.open({ tokens: [faulty.token] })
  const whole = () => pool.health().agents.every(({ state }) => state === 'ready')
  const wait = async () => {
    while (!whole()) await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await wait()
  await run(pool, 200)
  await faulty.rules(rule)
  const begun = performance.now()
  await run(pool, CALLERS)
  await wait()
  const took = performance.now() - begun
  await pool.close()
  return took
}

/** @type {Record<string, number>} */
const healedMs = {}
for (const [fault, rule] of Object.entries(FAULTS)) {
  const times = []
  for (let round = 0; round < ROUNDS; round += 1) times.push(await heal(rule))
  healedMs[fault] = Math.round(times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0)
}

await faulty.rules()
const pool = await HsmPool.open({ tokens: [options], agents: 1 })
const rss = async () => {
  const status = await readFile(`/proc/${pool.health().agents[0]?.pid ?? 0}/status`, 'latin1')
  return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024)
}
await run(pool, 20_000)
const warm = await rss()
await run(pool, OPERATIONS)
const memoryMiB = { afterWarmUp: warm, after: await rss(), operations: OPERATIONS }
console.log(JSON.stringify({ healedMs, memoryMiB, restarts: pool.stats().restarts, failures: pool.stats().failures }))
await pool.close()
await faulty[Symbol.asyncDispose]()
await token[Symbol.asyncDispose]()

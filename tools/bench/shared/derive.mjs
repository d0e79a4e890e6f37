/** The HSM pool alone, as a worker uses it: the derivations of many files, confirmed or not. */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { wipe } from '@sealfleet/format'
import { HsmPool } from '@sealfleet/hsm'

const MS = 2_000
const KEYS = /** @type {const} */ ([
  { role: 'enc', domain: 'default', suite: 1, version: 1 },
  { role: 'sig', domain: 'default', suite: 1, version: 1 },
])

/**
 * A pool on a token that holds version 1 of the keys of the domain `default`. It expects their known answers, as a worker
 * does. Resolves when all its agents are ready.
 *
 * @param {import('@sealfleet/hsm').TokenOptions} token @param {{ agents: number, sessions: number, callers: number }} size
 */
export async function openPool(token, { agents, sessions, callers }) {
  // No caller is refused: each waits with as many operations as it has keys.
  const pool = await HsmPool.open({ tokens: [token], agents, sessions, maxWaiters: callers * KEYS.length })
  for (const key of KEYS) {
    pool.expectCheckValue(key, await pool.keyCheckValue(key), await pool.knownAnswer(key))
  }
  while (pool.health().agents.filter(({ state }) => state === 'ready').length < agents) await delay(20)
  return pool
}

/**
 * Files a second whose keys are derived, both of a file side by side: `confirmed` as for sealing, twice and with the
 * known answer; `once` as for opening.
 *
 * @param {HsmPool} pool @param {number} callers files at once
 */
export async function derivationRates(pool, callers) {
  return { confirmed: await rate(pool.confirmed(), callers), once: await rate(pool, callers) }
}

/** @param {Pick<ReturnType<HsmPool['confirmed']>, 'hmac'>} deriver @param {number} callers */
async function rate(deriver, callers) {
  const began = performance.now()
  let files = 0
  const caller = async () => {
    while (performance.now() - began < MS) {
      wipe(...(await Promise.all(KEYS.map((key) => deriver.hmac(key, randomBytes(32))))))
      files += 1
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return (files * 1000) / (performance.now() - began)
}

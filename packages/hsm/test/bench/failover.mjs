// node failover.mjs: how long callers wait when the primary token goes, and what a token that stands by costs. After
// `npx tsc -b packages/hsm packages/testkit`, with the test services' environment.
import { randomBytes } from 'node:crypto'
import { cp, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { HsmPool, openKeyAdmin } from '@sealfleet/hsm'
import { freshToken } from '@sealfleet/testkit'

const ENC = /** @type {const} */ ({ role: 'enc', domain: 'default', suite: 1, version: 1 })
const CALLERS = 16
const token = await freshToken()
const primary = /** @type {const} */ ({
  module: token.module,
  token: token.label,
  pin: { kind: 'file', path: token.pinFile },
  env: token.env,
})
const admin = await openKeyAdmin(primary)
await admin.generate(ENC)
const kcv = await admin.checkValue(ENC)
await admin.close()
const tokens = join(token.dir, 'tokens')
await cp(tokens, join(token.dir, 'clone'), { recursive: true })
const conf = join(token.dir, 'clone.conf')
await writeFile(conf, (await readFile(token.env.SOFTHSM2_CONF, 'utf8')).replace(tokens, join(token.dir, 'clone')))

/** @type {number[]} */
const starts = []
const pool = await HsmPool.open({
  tokens: [primary, { ...primary, env: { SOFTHSM2_CONF: conf } }],
  onEvent: (event) => event.type === 'ready' && starts.push(event.startMs),
})
pool.expectCheckValue(ENC, kcv)
/** @param {() => boolean | undefined} condition */
const until = async (condition) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20))
}
await until(() => pool.health().agents.filter(({ state, rssBytes }) => state === 'ready' && rssBytes).length === 3)
const standby = pool.health().agents.find(({ token: name }) => name === 'secondary-1')

let longest = 0
let failed = 0
let done = 0
let stop = false
const callers = Array.from({ length: CALLERS }, async () => {
  while (!stop) {
    const began = performance.now()
    await pool.hmac(ENC, randomBytes(32)).then(
      () => (done += 1),
      () => (failed += 1),
    )
    longest = Math.max(longest, performance.now() - began)
  }
})
await rename(tokens, `${tokens}-away`)
const left = performance.now()
await until(() => pool.health().tokens[1]?.serving)
const switched = performance.now() - left
const before = done
await until(() => done > before + 1000)
stop = true
await Promise.all(callers)
console.log(
  `standby agent: ${((standby?.rssBytes ?? 0) / 2 ** 20).toFixed(0)} MiB; starts of agents: ${starts.map((ms) => ms.toFixed(0)).join(', ')} ms`,
)
console.log(
  `${CALLERS} callers: ${done} answered, ${failed} failed; longest ${longest.toFixed(0)} ms; switched after ${switched.toFixed(0)} ms`,
)
await pool.close()
await token[Symbol.asyncDispose]()

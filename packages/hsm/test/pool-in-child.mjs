// node pool-in-child.mjs MODULE TOKEN PIN-FILE: opens a pool, prints the pids of its agents when both are ready, keeps them busy.
import { randomBytes } from 'node:crypto'

import { HsmPool } from '@sealfleet/hsm'

const [module = '', token = '', path = ''] = process.argv.slice(2)
let ready = 0
const pool = await HsmPool.open({
  tokens: [{ module, token, pin: { kind: 'file', path } }],
  onEvent: (event) => {
    if (event.type === 'ready') ready += 1
    if (event.type === 'ready' && ready === 2) report()
  },
})

function report() {
  process.nextTick(() => {
    console.log(JSON.stringify(pool.health().agents.map(({ pid }) => pid)))
  })
}

const key = /** @type {const} */ ({ role: 'enc', domain: 'default', suite: 1, version: 1 })
for (;;) await pool.hmac(key, randomBytes(32))

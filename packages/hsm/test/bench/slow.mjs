// node slow.mjs [MS [ROUNDS]]: pool.mjs over a token whose C_Sign takes MS milliseconds longer (default 1), as that of a
// network HSM does: what the pool is for. Makes its own SoftHSM token (SEALFLEET_TEST_SOFTHSM_MODULE) behind the fault module.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { openKeyAdmin } from '@sealfleet/hsm'
import { Faulty, freshToken } from '@sealfleet/testkit'

const [ms = '1', rounds = '5'] = process.argv.slice(2)
const token = await freshToken()
const options = {
  module: token.module,
  token: token.label,
  pin: /** @type {const} */ ({ kind: 'file', path: token.pinFile }),
  env: token.env,
}
const admin = await openKeyAdmin(options)
await admin.generate({ role: 'enc', domain: 'default', suite: 1, version: 1 })
await admin.close()
const faulty = await Faulty.over(options)
await faulty.rules(`C_Sign delay ${ms}`)
const script = fileURLToPath(new URL('pool.mjs', import.meta.url))
const { status } = spawnSync(process.execPath, [script, faulty.token.module, token.label, token.pinFile, rounds], {
  env: { ...process.env, ...faulty.token.env },
  stdio: 'inherit',
})
await faulty[Symbol.asyncDispose]()
await token[Symbol.asyncDispose]()
process.exitCode = status ?? 1

// node raw.mjs MODULE TOKEN PIN LABEL MS: HMACs a second of one process that calls the module synchronously, nothing between,
// and the median and 99th percentile of a call in milliseconds: the peer that the pool is measured against.
import { randomBytes } from 'node:crypto'

import pkcs11 from 'pkcs11js'

const [module = '', token = '', pin = '', label = '', ms = '2000'] = process.argv.slice(2)
const lib = new pkcs11.PKCS11()
lib.load(module)
lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = lib.C_GetSlotList(true).find((handle) => lib.C_GetTokenInfo(handle).label.trim() === token)
if (slot === undefined) throw new Error(`no token ${token}`)
const session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
lib.C_Login(session, pkcs11.CKU_USER, pin)
lib.C_FindObjectsInit(session, [{ type: pkcs11.CKA_LABEL, value: label }])
const key = lib.C_FindObjects(session, 1)[0]
if (key === undefined) throw new Error(`no key ${label}`)
lib.C_FindObjectsFinal(session)
const [message, out] = [randomBytes(32), Buffer.alloc(64)]
const begun = performance.now()
/** @type {number[]} */
const times = []
for (let at = begun; at - begun < Number(ms);) {
  lib.C_SignInit(session, { mechanism: pkcs11.CKM_SHA256_HMAC }, key)
  lib.C_Sign(session, message, out)
  const now = performance.now()
  times.push(now - at)
  at = now
}
const rate = Math.round(times.length / ((performance.now() - begun) / 1000))
times.sort((a, b) => a - b)
const [p50 = 0, p99 = 0] = [0.5, 0.99].map((share) => times[Math.floor(times.length * share)])
console.log(JSON.stringify({ rate, p50ms: Number(p50.toFixed(3)), p99ms: Number(p99.toFixed(3)) }))

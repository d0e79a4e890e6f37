// node raw.mjs MODULE TOKEN PIN LABEL MS: HMACs a second of one process that calls the module synchronously, nothing between:
// the peer that the pool is measured against.
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
let done = 0
while (performance.now() - begun < Number(ms)) {
  lib.C_SignInit(session, { mechanism: pkcs11.CKM_SHA256_HMAC }, key)
  lib.C_Sign(session, message, out)
  done += 1
}
console.log(Math.round(done / ((performance.now() - begun) / 1000)))

// node replace-key.mjs MODULE TOKEN PIN LABEL: puts another secret in the place of the one under LABEL, as a restore gone wrong
// would. A process of its own, so that no test process ever loads a PKCS#11 module.
import { randomBytes } from 'node:crypto'
import pkcs11 from 'pkcs11js'

const [module, token, pin, label] = process.argv.slice(2)
if (module === undefined || label === undefined) throw new Error('four arguments are needed')
const lib = new pkcs11.PKCS11()
lib.load(module)
lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = lib.C_GetSlotList(true).find((handle) => lib.C_GetTokenInfo(handle).label.trim() === token)
if (slot === undefined) throw new Error(`no token ${String(token)}`)
const session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
lib.C_Login(session, pkcs11.CKU_USER, pin)
lib.C_FindObjectsInit(session, [{ type: pkcs11.CKA_LABEL, value: label }])
const [found, ...more] = lib.C_FindObjects(session, 10)
lib.C_FindObjectsFinal(session)
if (found === undefined || more.length > 0) throw new Error(`none, or several, are called ${label}`)
lib.C_DestroyObject(session, found)
lib.C_CreateObject(session, [
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
  { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_GENERIC_SECRET },
  { type: pkcs11.CKA_VALUE, value: randomBytes(32) },
  { type: pkcs11.CKA_LABEL, value: label },
  { type: pkcs11.CKA_ID, value: randomBytes(8) },
  { type: pkcs11.CKA_TOKEN, value: true },
  { type: pkcs11.CKA_PRIVATE, value: true },
  { type: pkcs11.CKA_SENSITIVE, value: true },
  { type: pkcs11.CKA_SIGN, value: true },
])
lib.C_Logout(session)
lib.C_Finalize()

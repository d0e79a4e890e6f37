// node create-object.mjs MODULE TOKEN PIN LABEL VALUE-HEX: puts a secret of known value into a token. A process of its own,
// so that no test process ever loads a PKCS#11 module.
import { randomBytes } from 'node:crypto'

import pkcs11 from 'pkcs11js'

const [module, token, pin, label, value] = process.argv.slice(2)
if (module === undefined || label === undefined || value === undefined) throw new Error('five arguments are needed')
const lib = new pkcs11.PKCS11()
lib.load(module)
lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = lib.C_GetSlotList(true).find((handle) => lib.C_GetTokenInfo(handle).label.trim() === token)
if (slot === undefined) throw new Error(`no token ${String(token)}`)
const session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
lib.C_Login(session, pkcs11.CKU_USER, pin)
lib.C_CreateObject(session, [
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
  { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_GENERIC_SECRET },
  { type: pkcs11.CKA_VALUE, value: Buffer.from(value, 'hex') },
  { type: pkcs11.CKA_LABEL, value: label },
  { type: pkcs11.CKA_ID, value: randomBytes(8) },
  { type: pkcs11.CKA_TOKEN, value: true },
  { type: pkcs11.CKA_PRIVATE, value: true },
  { type: pkcs11.CKA_SENSITIVE, value: true },
  { type: pkcs11.CKA_SIGN, value: true },
])

// node opencryptoki-init.mjs MODULE LABEL PIN: makes the software token of opencryptoki ours, with fresh PINs. There is one
// token a machine: one that is ours already stays as it is, one of someone else is refused.
import pkcs11 from 'pkcs11js'

const [module, label, pin] = process.argv.slice(2)
if (module === undefined || label === undefined || pin === undefined) throw new Error('three arguments are needed')
const FIRST_SO_PIN = '87654321'
const SO_PIN = '76543210'
const FIRST_PIN = '1234567'

const lib = new pkcs11.PKCS11()
lib.load(module)
lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = lib.C_GetSlotList(true).find((handle) => lib.C_GetTokenInfo(handle).model.trim() === 'IBM SoftTok')
if (slot === undefined) throw new Error('no software token')
const info = lib.C_GetTokenInfo(slot)
const initialised = (info.flags & pkcs11.CKF_TOKEN_INITIALIZED) !== 0
if (initialised && info.label.trim() !== label) throw new Error(`the token is in use: ${info.label.trim()}`)
if (!initialised) {
  lib.C_InitToken(slot, FIRST_SO_PIN, label.padEnd(32))
  let session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
  lib.C_Login(session, pkcs11.CKU_SO, FIRST_SO_PIN)
  lib.C_SetPIN(session, FIRST_SO_PIN, SO_PIN)
  lib.C_InitPIN(session, FIRST_PIN)
  lib.C_Logout(session)
  lib.C_CloseSession(session)
  session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
  lib.C_Login(session, pkcs11.CKU_USER, FIRST_PIN)
  lib.C_SetPIN(session, FIRST_PIN, pin)
  lib.C_Logout(session)
}
lib.C_Finalize()

// node nss-init.mjs MODULE PARAMETERS PIN: makes a database of NSS and gives it a PIN.
import pkcs11 from 'pkcs11js'

const [module, parameters, pin] = process.argv.slice(2)
if (module === undefined || parameters === undefined || pin === undefined) throw new Error('three arguments are needed')
const lib = new pkcs11.PKCS11()
lib.load(module)
// The binding drops the last character of the parameters.
lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK, libraryParameters: `${parameters} ` })
const slot = lib.C_GetSlotList(true).find((handle) => lib.C_GetTokenInfo(handle).label.startsWith('NSS Certificate DB'))
if (slot === undefined) throw new Error('no certificate database')
const session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
lib.C_Login(session, pkcs11.CKU_SO, '')
lib.C_InitPIN(session, pin)
lib.C_Logout(session)
lib.C_Finalize()

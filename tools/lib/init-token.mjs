/**
 * Initialises the free token of a SoftHSM: `node init-token.mjs MODULE`, SOFTHSM2_CONF in the environment, and
 * {"label","soPin","pin"} as JSON on stdin. softhsm2-util would take the PINs on its command line, where every user of
 * the machine can read them. Runs in its own process, because a module reads its configuration once per process.
 */
import { text } from 'node:stream/consumers'
import pkcs11js from 'pkcs11js'

const modulePath = process.argv[2]
if (!modulePath) throw new Error('usage: init-token.mjs MODULE')
const { label, soPin, pin } = /** @type {Record<string, string>} */ (JSON.parse(await text(process.stdin)))
if (!label || !soPin || !pin) throw new Error('stdin: {"label","soPin","pin"} is wanted')

const module = new pkcs11js.PKCS11()
module.load(modulePath)
module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK })
const free = module.C_GetSlotList(true).find((slot) => {
  return (module.C_GetTokenInfo(slot).flags & pkcs11js.CKF_TOKEN_INITIALIZED) === 0
})
if (!free) throw new Error('no free token')
// Label and PIN in one call: PKCS#11 pads the label with blanks to 32 bytes, which pkcs11js leaves to us.
module.C_InitToken(free, soPin, label.padEnd(32))
// After that SoftHSM has moved the token to another slot, found by its label.
const slot = module.C_GetSlotList(true).find((one) => module.C_GetTokenInfo(one).label.trim() === label)
if (!slot) throw new Error('the token was initialised, and is gone')
const session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION)
module.C_Login(session, pkcs11js.CKU_SO, soPin)
module.C_InitPIN(session, pin)
module.C_Logout(session)
module.C_CloseSession(session)
module.C_Finalize()

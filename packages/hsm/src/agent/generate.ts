import { CKR } from '../errors/ckr.js'
import type { VendorProfile } from '../errors/classes.js'
import { parseKeyLabel } from '@sealfleet/format'
import { readAttribute, ulongs } from './attributes.js'
import { CKA, CKK_AES, CKK_GENERIC_SECRET, CKM, CKO_SECRET_KEY } from './constants.js'
import { CkrError, type Handle } from './cryptoki.js'
import { OperationFailure } from './failure.js'
import type { Pkcs11Module, Template } from './module.js'

const KEY_LENGTH = 32

type Usage = 'sign' | 'encrypt'
type SigningKey = NonNullable<VendorProfile['signingKey']>

/** The default of every token whose vendor profile does not say otherwise. */
const GENERIC_SECRET: SigningKey = { mechanism: CKM.GENERIC_SECRET_KEY_GEN, keyType: CKK_GENERIC_SECRET }

/**
 * Makes one master key inside the token. Refuses a second key under the same label: before making it, and again
 * afterwards (two operators may have begun at once). In the second case it destroys the new key.
 */
export function generateMaster(
  module: Pkcs11Module,
  session: Handle,
  label: string,
  ckaId: Buffer,
  profile?: VendorProfile,
): Handle {
  const signingKey = profile?.signingKey ?? GENERIC_SECRET
  const usage = usageOf(label)
  if (module.findKeys(session, { label }).length > 0) throw exists(label)
  const mechanism = { mechanism: usage === 'sign' ? signingKey.mechanism : CKM.AES_KEY_GEN }
  const generate = (allowed: boolean) =>
    module.call('C_GenerateKey', (raw) =>
      raw.C_GenerateKey(session, mechanism, masterTemplate(usage, label, ckaId, allowed, signingKey.keyType)),
    )
  let key: Handle
  try {
    key = generate(profile?.allowedMechanisms ?? true)
  } catch (error) {
    // Some tokens know no CKA_ALLOWED_MECHANISMS; the evidence shows that it is missing.
    if (!(error instanceof CkrError && error.ckr === CKR.ATTRIBUTE_TYPE_INVALID)) throw error
    key = generate(false)
  }
  assertOurs(module, session, key, label, ckaId)
  if (module.findKeys(session, { label }).length !== 1) {
    destroyHandle(module, session, key)
    throw exists(label)
  }
  return key
}

/**
 * A token that answers CKR_OK with the handle of another key has made none. The tests of a new key, and its destruction
 * if it is unfit, would then hit that other key. Only the new key has the random CKA_ID that was just drawn for it.
 */
function assertOurs(module: Pkcs11Module, session: Handle, key: Handle, label: string, ckaId: Buffer): void {
  const [itsLabel, itsId] = [CKA.LABEL, CKA.ID].map((type) => readAttribute(module, session, key, type))
  if (itsId?.equals(ckaId) === true && itsLabel?.toString('latin1') === label) return
  throw new OperationFailure(
    'denied',
    `the token said that it made ${label}, and handed out another key; left as it is`,
  )
}

export function destroyHandle(module: Pkcs11Module, session: Handle, key: Handle): void {
  module.call('C_DestroyObject', (raw) => {
    raw.C_DestroyObject(session, key)
  })
}

/** The exact template of a master key: sign-only, or encrypt-and-decrypt-only for a KEK. */
function masterTemplate(
  usage: Usage,
  label: string,
  ckaId: Buffer,
  allowedMechanisms: boolean,
  keyType: number = CKK_GENERIC_SECRET,
): Template {
  const sign = usage === 'sign'
  const template: Template = [
    { type: CKA.CLASS, value: CKO_SECRET_KEY },
    { type: CKA.KEY_TYPE, value: sign ? keyType : CKK_AES },
    { type: CKA.VALUE_LEN, value: KEY_LENGTH },
    { type: CKA.LABEL, value: label },
    { type: CKA.ID, value: ckaId },
    { type: CKA.TOKEN, value: true },
    { type: CKA.PRIVATE, value: true },
    { type: CKA.SENSITIVE, value: true },
    { type: CKA.EXTRACTABLE, value: false },
    { type: CKA.MODIFIABLE, value: false },
    { type: CKA.SIGN, value: sign },
    { type: CKA.VERIFY, value: false },
    { type: CKA.ENCRYPT, value: !sign },
    { type: CKA.DECRYPT, value: !sign },
    { type: CKA.WRAP, value: false },
    { type: CKA.UNWRAP, value: false },
    { type: CKA.DERIVE, value: false },
  ]
  if (allowedMechanisms) {
    template.push({ type: CKA.ALLOWED_MECHANISMS, value: ulongs([sign ? CKM.SHA256_HMAC : CKM.AES_GCM]) })
  }
  return template
}

export function usageOf(label: string): Usage {
  const ref = parseKeyLabel(label)
  if (ref === null) throw new OperationFailure('refused', 'not the label of a master key')
  return ref.role === 'kek' ? 'encrypt' : 'sign'
}

function exists(label: string): OperationFailure {
  return new OperationFailure('exists', `the token already holds a key ${label}`)
}

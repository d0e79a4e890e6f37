import type { KeyEvidence } from '../admin/key-admin.js'
import { CKM } from '../agent/constants.js'
import type { AttributeValue } from '../wire/admin-messages.js'

/** `ignored`: the key has another value than the requested one. `unknown`: the token does not answer for it. */
export type Honoured = 'honoured' | 'ignored' | 'unknown'

/** The requested attributes of a signing master (agent/generate.ts), and those that follow from them. */
const ASKED: Readonly<Record<string, AttributeValue>> = {
  TOKEN: true,
  PRIVATE: true,
  SENSITIVE: true,
  ALWAYS_SENSITIVE: true,
  EXTRACTABLE: false,
  NEVER_EXTRACTABLE: true,
  MODIFIABLE: false,
  LOCAL: true,
  VALUE_LEN: 32,
  SIGN: true,
  VERIFY: false,
  ENCRYPT: false,
  DECRYPT: false,
  WRAP: false,
  UNWRAP: false,
  DERIVE: false,
  ALLOWED_MECHANISMS: [CKM.SHA256_HMAC],
}

/** The outcome for each attribute, by the key that was made; names without `CKA_`. */
export function attributesHonoured({ label, ckaId, attributes }: KeyEvidence): Readonly<Record<string, Honoured>> {
  const asked = { LABEL: label, ID: ckaId, ...ASKED }
  return Object.fromEntries(
    Object.entries(asked).map(([name, wanted]) => {
      const is = attributes[name] ?? null
      const empty = is === null || (Array.isArray(is) && is.length === 0)
      return [name, empty ? 'unknown' : String(is) === String(wanted) ? 'honoured' : 'ignored']
    }),
  )
}

import { randomBytes } from 'node:crypto'

import { ckrName } from '../errors/ckr.js'
import type { AttributeValue, KeyAttributes, RawEvidence, RefusedUse } from '../wire/admin-messages.js'
import { readAttribute } from './attributes.js'
import { CKA, CKK_AES, CKM, CKO_SECRET_KEY } from './constants.js'
import { CkrError, type Handle } from './cryptoki.js'
import { OperationFailure } from './failure.js'
import { destroyHandle, usageOf } from './generate.js'
import type { Pkcs11Module, Template } from './module.js'

type Refusals = RawEvidence['refusals']

/** Mechanisms by which a throw-away key could wrap a master key, with their parameters. */
const WRAPPING: readonly { name: string; mechanism: number; parameter?: Buffer }[] = [
  { name: 'CKM_AES_KEY_WRAP', mechanism: CKM.AES_KEY_WRAP },
  { name: 'CKM_AES_KEY_WRAP_PAD', mechanism: CKM.AES_KEY_WRAP_PAD },
  { name: 'CKM_AES_KEY_WRAP_KWP', mechanism: CKM.AES_KEY_WRAP_KWP },
  { name: 'CKM_AES_CBC_PAD', mechanism: CKM.AES_CBC_PAD, parameter: Buffer.alloc(16) },
]
const WRAPPED_MAX = 256
const CKA_ID_LENGTH = 16

/**
 * Tries the operations that must fail with this key: reading its value, loosening its attributes, exporting it under a
 * throw-away key. Attributes are only claims (one module exports keys it calls unextractable), so they are tested, too.
 */
export function tryForbidden(module: Pkcs11Module, session: Handle, key: Handle): Refusals {
  const set = (type: number, value: boolean) =>
    attempt(() => {
      module.call('C_SetAttributeValue', (raw) => {
        raw.C_SetAttributeValue(session, key, [{ type, value }])
      })
    })
  return {
    readValue: attempt(() => {
      const [value] = module.call('C_GetAttributeValue', (raw) =>
        raw.C_GetAttributeValue(session, key, [{ type: CKA.VALUE }]),
      )
      value?.value.fill(0)
    }),
    makeExtractable: set(CKA.EXTRACTABLE, true),
    makeInsensitive: set(CKA.SENSITIVE, false),
    wrap: tryWrapping(module, session, key),
  }
}

function tryWrapping(module: Pkcs11Module, session: Handle, key: Handle): Refusals['wrap'] {
  const available = module.mechanismNumbers()
  const usable = WRAPPING.filter(({ mechanism }) => available.includes(mechanism))
  if (usable.length === 0 || !available.includes(CKM.AES_KEY_GEN)) return []
  const id = randomBytes(CKA_ID_LENGTH)
  const template: Template = [
    { type: CKA.CLASS, value: CKO_SECRET_KEY },
    { type: CKA.KEY_TYPE, value: CKK_AES },
    { type: CKA.VALUE_LEN, value: 32 },
    { type: CKA.TOKEN, value: false },
    { type: CKA.ID, value: id },
    { type: CKA.WRAP, value: true },
  ]
  const wrapper = module.call('C_GenerateKey', (raw) =>
    raw.C_GenerateKey(session, { mechanism: CKM.AES_KEY_GEN }, template),
  )
  // If the handle is another key's, the code below would destroy that key.
  if (readAttribute(module, session, wrapper, CKA.ID)?.equals(id) !== true) {
    throw new OperationFailure('denied', 'the token said that it made a throw-away key, and handed out another key')
  }
  try {
    return usable.map(({ name, mechanism, parameter }) => {
      const out = Buffer.alloc(WRAPPED_MAX)
      const refusal = attempt(() => {
        module.call('C_WrapKey', (raw) =>
          raw.C_WrapKey(session, parameter === undefined ? { mechanism } : { mechanism, parameter }, wrapper, key, out),
        )
      })
      out.fill(0)
      return { mechanism: name, ...refusal }
    })
  } finally {
    destroyHandle(module, session, wrapper)
  }
}

function attempt(forbidden: () => void): RefusedUse {
  try {
    forbidden()
    return { refused: false, answer: 'allowed' }
  } catch (error) {
    if (!(error instanceof CkrError)) throw error
    return { refused: true, answer: ckrName(error.ckr) }
  }
}

/** The required attributes of a master key; an attribute the token does not answer for (null) is not a problem. */
const REQUIRED: KeyAttributes = {
  TOKEN: true,
  PRIVATE: true,
  SENSITIVE: true,
  EXTRACTABLE: false,
  MODIFIABLE: false,
  ALWAYS_SENSITIVE: true,
  NEVER_EXTRACTABLE: true,
  LOCAL: true,
  VALUE_LEN: 32,
  VERIFY: false,
  WRAP: false,
  UNWRAP: false,
  DERIVE: false,
}
/** …except for these, which every token answers. */
const MUST_ANSWER = ['SENSITIVE', 'EXTRACTABLE', 'PRIVATE', 'TOKEN']

/** The problems of this key, in words; empty for a sound key. */
export function problemsOf(label: string, attributes: KeyAttributes, refusals: Refusals): string[] {
  const sign = usageOf(label) === 'sign'
  const required = { ...REQUIRED, SIGN: sign, ENCRYPT: !sign, DECRYPT: !sign }
  const problems = Object.entries(required).flatMap(([name, wanted]) => {
    const is: AttributeValue = attributes[name] ?? null
    if (is === wanted || (is === null && !MUST_ANSWER.includes(name))) return []
    return [`CKA_${name} is ${String(is)}, must be ${String(wanted)}`]
  })
  if (!refusals.readValue.refused) problems.push('its value can be read')
  if (!refusals.makeExtractable.refused) problems.push('it can be made extractable')
  if (!refusals.makeInsensitive.refused) problems.push('it can be made not sensitive')
  for (const wrap of refusals.wrap) if (!wrap.refused) problems.push(`it can be exported with ${wrap.mechanism}`)
  return problems
}

import { CKR } from '../errors/ckr.js'
import type { AttributeValue, KeyAttributes } from '../wire/admin-messages.js'
import { CKA } from './constants.js'
import { CkrError, type Handle } from './cryptoki.js'
import type { Pkcs11Module } from './module.js'

type Kind = 'bool' | 'ulong' | 'ulongs' | 'text' | 'hex'

/** The attributes that are read back from a key. Never CKA_VALUE; no dates, which some modules answer with garbage. */
const READ: Readonly<Record<string, Kind>> = {
  CLASS: 'ulong',
  KEY_TYPE: 'ulong',
  LABEL: 'text',
  ID: 'hex',
  TOKEN: 'bool',
  PRIVATE: 'bool',
  SENSITIVE: 'bool',
  ALWAYS_SENSITIVE: 'bool',
  EXTRACTABLE: 'bool',
  NEVER_EXTRACTABLE: 'bool',
  MODIFIABLE: 'bool',
  COPYABLE: 'bool',
  DESTROYABLE: 'bool',
  LOCAL: 'bool',
  KEY_GEN_MECHANISM: 'ulong',
  VALUE_LEN: 'ulong',
  SIGN: 'bool',
  VERIFY: 'bool',
  ENCRYPT: 'bool',
  DECRYPT: 'bool',
  WRAP: 'bool',
  UNWRAP: 'bool',
  DERIVE: 'bool',
  ALLOWED_MECHANISMS: 'ulongs',
}

const ULONG = 8

/** One call per attribute: C_GetAttributeValue is all or nothing, and tokens know different attributes. */
export function readAttributes(module: Pkcs11Module, session: Handle, key: Handle): KeyAttributes {
  const entries = Object.entries(READ).map(([name, kind]) => {
    const bytes = readAttribute(module, session, key, CKA[name as keyof typeof CKA])
    return [name, bytes === null ? null : decode(bytes, kind)] as const
  })
  return Object.fromEntries(entries)
}

/** The raw value, or null when the token does not know or reveal it. */
export function readAttribute(module: Pkcs11Module, session: Handle, key: Handle, type: number): Buffer | null {
  try {
    const [attribute] = module.call('C_GetAttributeValue', (raw) => raw.C_GetAttributeValue(session, key, [{ type }]))
    return attribute?.value ?? null
  } catch (error) {
    const known: readonly number[] = [CKR.ATTRIBUTE_TYPE_INVALID, CKR.ATTRIBUTE_SENSITIVE, CKR.ATTRIBUTE_VALUE_INVALID]
    if (error instanceof CkrError && known.includes(error.ckr)) return null
    throw error
  }
}

function decode(bytes: Buffer, kind: Kind): AttributeValue {
  switch (kind) {
    case 'bool':
      return bytes.length === 1 ? bytes[0] !== 0 : null
    case 'ulong':
      return bytes.length === ULONG ? Number(bytes.readBigUInt64LE()) : null
    case 'ulongs':
      return Array.from({ length: Math.floor(bytes.length / ULONG) }, (_, i) =>
        Number(bytes.readBigUInt64LE(i * ULONG)),
      )
    case 'text':
      return bytes.toString('utf8')
    case 'hex':
      return bytes.toString('hex')
  }
}

/** A CK_ULONG array as the bytes of an attribute. */
export function ulongs(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * ULONG)
  values.forEach((value, i) => bytes.writeBigUInt64LE(BigInt(value), i * ULONG))
  return bytes
}

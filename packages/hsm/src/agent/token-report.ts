import { createRequire } from 'node:module'

import type { VendorProfile } from '../errors/classes.js'
import type { MechanismListing, TokenLimits, TokenReport } from '../wire/admin-messages.js'
import type { TokenMechanisms } from '../wire/messages.js'
import { CKM } from './constants.js'
import { CkrError } from './cryptoki.js'
import { pinState } from './login.js'
import type { Pkcs11Module } from './module.js'

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(createRequire(import.meta.url)('pkcs11js') as Record<string, unknown>).flatMap(([name, value]) =>
    name.startsWith('CKM_') && typeof value === 'number' ? [[value, name]] : [],
  ),
)

/** The token's description of itself, for people: its identity, its mechanisms and its limits. */
export function tokenReport(module: Pkcs11Module, profile: VendorProfile | undefined): TokenReport {
  const { token, flags } = module.identity()
  return {
    token,
    mechanisms: usableMechanisms(module.mechanisms(), profile),
    limits: limitsOf(module),
    mechanismList: listing(module),
    pin: pinState(flags),
  }
}

/** The token's mechanisms, without those that its vendor implements in a way we cannot use. */
export function usableMechanisms(listed: TokenMechanisms, profile: VendorProfile | undefined): TokenMechanisms {
  return profile?.gcmIv === 'from-token' ? { ...listed, gcm: false } : listed
}

function listing(module: Pkcs11Module): MechanismListing[] {
  const numbers = module.mechanismNumbers().toSorted((a, b) => a - b)
  return numbers.map((number) => ({ number, name: NAMES.get(number) ?? null }))
}

function limitsOf(module: Pkcs11Module): TokenLimits {
  const info = module.call('C_GetTokenInfo', (raw) => raw.C_GetTokenInfo(module.slot))
  return {
    maxSessions: known(info.maxSessionCount),
    sessions: known(info.sessionCount, 0),
    maxReadWriteSessions: known(info.maxRwSessionCount),
    minPinLength: info.minPinLen,
    maxPinLength: info.maxPinLen,
    hmacKey: keySizes(module, CKM.SHA256_HMAC),
    gcmKey: keySizes(module, CKM.AES_GCM),
  }
}

/** As the token gives them; PKCS#11 leaves bits or bytes to the mechanism, and tokens differ. */
function keySizes(module: Pkcs11Module, mechanism: number): TokenLimits['hmacKey'] {
  try {
    const info = module.call('C_GetMechanismInfo', (raw) => raw.C_GetMechanismInfo(module.slot, mechanism))
    return { min: info.minKeySize, max: info.maxKeySize }
  } catch (error) {
    if (error instanceof CkrError) return null
    throw error
  }
}

/** CK_UNAVAILABLE_INFORMATION and CK_EFFECTIVELY_INFINITE (0, for a maximum) are no numbers. */
function known(count: number, smallest = 1): number | null {
  return Number.isSafeInteger(count) && count >= smallest && count < 0xffff_ffff ? count : null
}

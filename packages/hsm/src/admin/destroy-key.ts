import type { MasterKeyRef } from '../contract.js'
import { HsmError } from '../errors/hsm-error.js'
import { keyLabel } from '@sealfleet/format'
import type { TokenOptions } from '../options.js'
import type { PinLockout } from '../pool/pin-lockout.js'
import { openKeyAdmin, type KeyAdmin, type KeyListing } from './key-admin.js'

/** A key as it was registered, to recognise the one in a token. */
export interface RegisteredKey {
  readonly ref: MasterKeyRef
  /** 8 bytes; null for a KEK. */
  readonly checkValue: Uint8Array | null
  /** For a KEK: the record that it opens. */
  readonly checkRecord: Uint8Array | null
}

/** The state of a key in one token. */
export interface KeySighting {
  /** The token's label and serial number. */
  readonly token: string
  readonly serial: string
  readonly present: boolean
  /** Hexadecimal; null when the key is absent. */
  readonly ckaId: string | null
}

/** Evidence of one token after a key was destroyed in it, taken by a process that had not seen the key. */
export interface DestructionProof extends KeySighting {
  /** absent: the key was already gone at this token's turn. */
  readonly was: 'destroyed' | 'absent'
  /** Number of keys of that label that a search finds. */
  readonly found: 0
  /** The token's answer to a derivation with the key. */
  readonly derivation: 'E_KEY_UNKNOWN'
}

export interface DestroyOptions {
  readonly lockout?: PinLockout | undefined
  /**
   * Other registered keys that should be in every token. A token without the key is believed only if it holds one of
   * these with its check value: otherwise it may be another token altogether.
   */
  readonly witnesses: readonly RegisteredKey[]
  readonly signal?: AbortSignal | undefined
}

/**
 * Looks for a key in every token, each in its own process, and changes nothing. Rejects when a token cannot be reached
 * (HSM_UNAVAILABLE, HSM_ACCESS_DENIED), when it holds another key of that label or two (KEY_MISMATCH), or when it lacks
 * the key and holds none of the witnesses (KEY_MISMATCH).
 */
export async function lookForKey(
  tokens: readonly TokenOptions[],
  key: RegisteredKey,
  options: DestroyOptions,
): Promise<KeySighting[]> {
  const sightings: KeySighting[] = []
  for (const token of tokens) {
    options.signal?.throwIfAborted()
    await using admin = await openKeyAdmin(token, lockoutOf(options))
    sightings.push(await sight(admin, token, key, options.witnesses))
  }
  return sightings
}

/**
 * Permanently destroys a key in every token, and proves it: a fresh process finds no key of that label in the token,
 * and a derivation with it fails. All tokens are checked before the first deletion: if one is out of reach or holds
 * another key, all stay unchanged. A failure half-way leaves the key on some tokens; another call finishes the work.
 * Rejects like {@link lookForKey}, and with HSM_UNAVAILABLE when a token still shows the key afterwards.
 *
 * @param beforeFirst called after all tokens have been checked and before the first deletion; may reject
 */
export async function destroyKeyEverywhere(
  tokens: readonly TokenOptions[],
  key: RegisteredKey,
  options: DestroyOptions & { readonly beforeFirst?: (sightings: readonly KeySighting[]) => Promise<void> },
): Promise<DestructionProof[]> {
  const sightings = await lookForKey(tokens, key, options)
  options.signal?.throwIfAborted()
  await options.beforeFirst?.(sightings)
  for (const [index, token] of tokens.entries()) {
    const ckaId = sightings[index]?.ckaId
    if (sightings[index]?.present !== true) continue
    await using admin = await openKeyAdmin(token, lockoutOf(options))
    await admin.destroy(key.ref, ckaId ? { ckaId } : {})
  }
  const proofs: DestructionProof[] = []
  for (const [index, token] of tokens.entries()) {
    const before = sightings[index]
    if (before === undefined) throw new RangeError(`token ${index} was not looked at`)
    await proveGone(token, key, options)
    proofs.push({ ...before, was: before.present ? 'destroyed' : 'absent', found: 0, derivation: 'E_KEY_UNKNOWN' })
  }
  return proofs
}

async function sight(
  admin: KeyAdmin,
  { token: name }: TokenOptions,
  key: RegisteredKey,
  witnesses: readonly RegisteredKey[],
): Promise<KeySighting> {
  const label = keyLabel(key.ref)
  const listed = await admin.list()
  const { serial } = (await admin.tokenInfo()).token
  const own = listed.filter((one) => one.label === label)
  const [only] = own
  if (own.length > 1) throw mismatch(`token ${name} holds ${label} ${own.length} times`)
  if (only !== undefined) {
    if (!(await isRegistered(admin, only, key)))
      throw mismatch(`token ${name} holds a key ${label} that is not the registered one`)
    return { token: name, serial, present: true, ckaId: only.ckaId === '' ? null : only.ckaId }
  }
  for (const witness of witnesses) {
    const there = listed.find((one) => one.label === keyLabel(witness.ref))
    if (there !== undefined && (await isRegistered(admin, there, witness)))
      return { token: name, serial, present: false, ckaId: null }
  }
  throw mismatch(`token ${name} holds neither ${label} nor any other registered key: it may be the wrong token`)
}

async function isRegistered(admin: KeyAdmin, listed: KeyListing, key: RegisteredKey): Promise<boolean> {
  if (key.checkValue !== null) return listed.kcv === Buffer.from(key.checkValue).toString('hex')
  if (key.checkRecord === null) return true
  try {
    await admin.checkKekRecord(key.ref, key.checkRecord)
    return true
  } catch (error) {
    if (error instanceof HsmError && error.code === 'KEY_MISMATCH') return false
    throw error
  }
}

async function proveGone(token: TokenOptions, key: RegisteredKey, options: DestroyOptions): Promise<void> {
  const label = keyLabel(key.ref)
  await using fresh = await openKeyAdmin(token, lockoutOf(options))
  const found = (await fresh.list()).filter((one) => one.label === label).length
  if (found === 0 && (await derivationFails(fresh, key))) return
  throw new HsmError('HSM_UNAVAILABLE', `token ${token.token} still shows ${label} after destroying it`, {
    fix: 'Nothing to do at first: it is destroyed again with the next try. If it stays, ask the HSM’s vendor.',
  })
}

/** A derivation with the key by its name, as any reader would request it. */
async function derivationFails(admin: KeyAdmin, { ref, checkRecord }: RegisteredKey): Promise<boolean> {
  try {
    if (ref.role === 'kek') await admin.checkKekRecord(ref, checkRecord ?? Buffer.alloc(92))
    else await admin.checkValue(ref)
    return false
  } catch (error) {
    if (error instanceof HsmError && error.code === 'E_KEY_UNKNOWN') return true
    throw error
  }
}

function lockoutOf({ lockout }: DestroyOptions): { lockout?: PinLockout } {
  return lockout === undefined ? {} : { lockout }
}

function mismatch(message: string): HsmError {
  return new HsmError('KEY_MISMATCH', message, {
    fix: 'Find out which key is right before anything is destroyed: `sealfleet keys check` compares all of them.',
  })
}

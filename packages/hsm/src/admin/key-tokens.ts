import type { HsmPool } from '../pool/hsm-pool.js'
import type { TokenOptions } from '../options.js'
import type { PinLockout } from '../pool/pin-lockout.js'
import {
  destroyKeyEverywhere,
  lookForKey,
  type DestructionProof,
  type KeySighting,
  type RegisteredKey,
} from './destroy-key.js'

/** Every configured token, for destroying keys and signing that it was done. */
export interface TokenSet {
  look(key: RegisteredKey, witnesses: readonly RegisteredKey[], signal?: AbortSignal): Promise<KeySighting[]>
  destroy(
    key: RegisteredKey,
    witnesses: readonly RegisteredKey[],
    o: { readonly beforeFirst: () => Promise<void>; readonly signal?: AbortSignal | undefined },
  ): Promise<DestructionProof[]>
  /** HMAC-SHA-256 under an audit key, which must have the check value it was registered with; computed twice. */
  mac(audit: RegisteredKey, message: Uint8Array): Promise<Buffer>
}

/** Looking and destroying go through key administration, one process per token; MACs go through the pool. */
export function allTokens(
  tokens: readonly TokenOptions[],
  pool: Pick<HsmPool, 'confirmed' | 'expectCheckValue'>,
  o: { readonly lockout?: PinLockout | undefined } = {},
): TokenSet {
  const { lockout } = o
  return {
    look: (key, witnesses, signal) => lookForKey(tokens, key, { lockout, witnesses, signal }),
    destroy: (key, witnesses, { beforeFirst, signal }) =>
      destroyKeyEverywhere(tokens, key, { lockout, witnesses, beforeFirst, signal }),
    mac: async ({ ref, checkValue }, message) => {
      if (checkValue !== null) pool.expectCheckValue(ref, checkValue)
      return Buffer.from(await pool.confirmed().hmac(ref, message))
    },
  }
}

import { type MasterKeyRef, parseKeyLabel } from '@sealfleet/format'
import type { HsmPool } from '@sealfleet/hsm'
import { AUDIT_PREFIX } from '@sealfleet/objects'
import {
  DestructionUnproven,
  recoveredDestruction,
  verifyDestructionRecord,
  type VerifiedDestruction,
} from '@sealfleet/keys'
import type { RecoveredDestruction } from '@sealfleet/records/recovery'
import type { ListedVersion, Store } from '@sealfleet/store'
import { describeError } from '../../describe-error.js'
import { EXIT } from '../../exit-status.js'

/** A key version that was destroyed according to a signed record in the store. */
export interface Destroyed {
  readonly ref: MasterKeyRef
  readonly label: string
  readonly destroyedAt: Date
  /** Hexadecimal; null for a KEK. */
  readonly checkValue: string | null
  readonly storeKey: string
  /** The destruction's row; undefined when the record lacks a part of it. */
  readonly row: RecoveredDestruction | undefined
}

/** An object in the place of a destruction record that proves nothing. */
export interface Unproven {
  readonly storeKey: string
  readonly code: string
  readonly message: string
}

const PREFIX = `${AUDIT_PREFIX}destructions/`
/** A record has a few kilobytes; a longer object is not one. */
const MAX_LENGTH = 4 << 20

/**
 * Reads every destruction record of the store, in every version, and checks its MAC under the audit key it names. Of one key the
 * first that is proven counts. @throws what is out of reach, the signal's reason
 */
export async function readDestructions(
  { store, pool }: { readonly store: Store; readonly pool: HsmPool },
  signal: AbortSignal,
): Promise<{ readonly destroyed: readonly Destroyed[]; readonly unproven: readonly Unproven[] }> {
  const destroyed = new Map<string, Destroyed>()
  const unproven: Unproven[] = []
  for await (const entry of store.listVersions(PREFIX, { signal })) {
    if (entry.deleteMarker) continue
    try {
      const one = destroyedBy(await verifyDestructionRecord(pool, await read(store, entry, signal)), entry.key)
      if (!destroyed.has(one.label)) destroyed.set(one.label, one)
    } catch (error) {
      signal.throwIfAborted()
      const { code, message, exitStatus } = describeError(error)
      // Foreign bytes are no reason to stop; an HSM or a store out of reach is.
      if (exitStatus === EXIT.unreachable) throw error
      const why = error instanceof DestructionUnproven ? error.message : message
      unproven.push({
        storeKey: entry.key,
        code: code === 'UNCLASSIFIED' ? 'DESTRUCTION_UNPROVEN' : code,
        message: why,
      })
    }
  }
  return { destroyed: [...destroyed.values()], unproven }
}

async function read(store: Store, entry: ListedVersion, signal: AbortSignal): Promise<Buffer> {
  const { key, length = 0, version, etag = '' } = entry
  if (length > MAX_LENGTH) throw new DestructionUnproven(`a destruction record cannot have ${length} bytes`)
  const pin = version === undefined ? { etag } : { version }
  const chunks: Uint8Array[] = []
  for await (const chunk of store.reader({ key, length, ...pin }).read(0, length, { signal }))
    chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

function destroyedBy(verified: VerifiedDestruction, storeKey: string): Destroyed {
  const { record, label, destroyedAt } = verified
  const ref = parseKeyLabel(label)
  const { key } = record
  const value = typeof key === 'object' && key !== null && 'checkValue' in key ? key.checkValue : null
  const checkValue = typeof value === 'string' && /^[0-9a-f]{16}$/.test(value) ? value : null
  const lacks = ref === null || Number.isNaN(destroyedAt.getTime())
  if (lacks || (checkValue === null && (ref.role === 'enc' || ref.role === 'sig')))
    throw new DestructionUnproven('a destruction record is signed, but names no key that a fleet can have')
  return { ref, label, destroyedAt, checkValue, storeKey, row: recoveredDestruction(verified, storeKey) }
}

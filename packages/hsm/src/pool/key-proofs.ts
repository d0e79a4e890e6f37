import type { MasterKeyRef } from '../contract.js'
import { keyLabel } from '@sealfleet/format'

/**
 * Proves that a key still derives the same values as before, before this process seals under it. Resolves when it does,
 * or when there is nothing to compare with. Rejects with HsmError KEY_MISMATCH when it does not, or with the failure to
 * look.
 */
export type ProveKey = (key: MasterKeyRef) => Promise<void>

/** Milliseconds before a failed proof is tried again: many files ask at once, and each try reads the store. */
const FAILED_MS = 5_000

/** One proof per key and process: concurrent callers wait for it, later callers get its result. */
export class KeyProofs {
  readonly #prove: ProveKey | undefined
  readonly #now: () => number
  readonly #proofs = new Map<string, Promise<void>>()
  readonly #failures = new Map<string, { readonly error: unknown; readonly until: number }>()

  constructor(prove: ProveKey | undefined, now: () => number = performance.now.bind(performance)) {
    this.#prove = prove
    this.#now = now
  }

  /** Only for keys of files: no file is sealed under other keys. */
  async of(key: MasterKeyRef, signal?: AbortSignal): Promise<void> {
    if (this.#prove === undefined || (key.role !== 'enc' && key.role !== 'sig')) return
    const label = keyLabel(key)
    const failed = this.#failures.get(label)
    if (failed !== undefined && this.#now() < failed.until) throw failed.error
    const running = this.#proofs.get(label) ?? this.#prove(key)
    this.#proofs.set(label, running)
    try {
      await (signal === undefined ? running : unlessAborted(running, signal))
    } catch (error) {
      if (signal?.aborted === true) throw error
      if (this.#proofs.get(label) === running) {
        this.#proofs.delete(label)
        this.#failures.set(label, { error, until: this.#now() + FAILED_MS })
      }
      throw error
    }
    this.#failures.delete(label)
  }
}

/** Settles as `running` does, or rejects with the signal's reason; `running` then continues for other callers. */
async function unlessAborted(running: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  let abort: () => void = () => undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
  })
  try {
    await Promise.race([running, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

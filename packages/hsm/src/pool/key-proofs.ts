import type { MasterKeyRef } from '../contract.js'
import { keyLabel } from '@sealfleet/format'

/**
 * Shows that a key still derives what it once derived, before this process seals anything under it: resolves when it does, or when
 * there is nothing to show it with; rejects with HsmError KEY_MISMATCH when it does not, or with what kept it from looking.
 */
export type ProveKey = (key: MasterKeyRef) => Promise<void>

/** How long a proof that failed is not tried again, milliseconds: many files ask at once, and each look reads the store. */
const FAILED_MS = 5_000

/** One proof a key and process: those who come meanwhile wait for it, those who come later have it. */
export class KeyProofs {
  readonly #prove: ProveKey | undefined
  readonly #now: () => number
  readonly #proofs = new Map<string, Promise<void>>()
  readonly #failures = new Map<string, { readonly error: unknown; readonly until: number }>()

  constructor(prove: ProveKey | undefined, now: () => number = performance.now.bind(performance)) {
    this.#prove = prove
    this.#now = now
  }

  /** Keys of files alone: nothing is sealed under others. */
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

/** Settles as `running` does, or rejects with the signal's reason; `running` goes on then, for others. */
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

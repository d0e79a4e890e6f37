/**
 * Where derived bytes live: memory outside V8's heap, in places that are known.
 *
 * V8 keeps typed arrays of up to 64 bytes on its own heap, where the collector copies them and never wipes the old
 * copies. So no secret is an array of its own. It is a view of a slot in a page of this arena, and the page is one
 * ArrayBuffer, which V8 never moves.
 *
 * A slot is wiped when it is released, and reused as late as possible: the slot released first is reused first. Beyond
 * the arena's last page a secret gets its own ArrayBuffer, which is outside the heap as well. So a caller who forgets
 * to release costs memory, which the collector reclaims, and never a derivation.
 */
export const SLOT_LENGTH = 128

const DEFAULTS = { pageLength: 64 * 1024, maxPages: 64 }

export interface ArenaUse {
  readonly pages: number
  /** Slots that are handed out now. */
  readonly live: number
  /** Secrets that found no slot, in total. */
  readonly overflows: number
}

interface Slot {
  readonly page: ArrayBuffer
  readonly offset: number
  /** The view that was handed out; undefined while the slot is free. */
  view: Buffer | undefined
}

export class SecretArena {
  readonly #pageLength: number
  readonly #maxPages: number
  readonly #pages = new Map<ArrayBufferLike, readonly Slot[]>()
  /** In the order of their release. */
  readonly #free: Slot[] = []
  /** Views whose slot was released, so that a later use of one is noticed. */
  readonly #released = new WeakSet<Uint8Array>()
  #overflows = 0

  constructor(options: { readonly pageLength?: number; readonly maxPages?: number } = {}) {
    this.#pageLength = options.pageLength ?? DEFAULTS.pageLength
    this.#maxPages = options.maxPages ?? DEFAULTS.maxPages
    if (this.#pageLength % SLOT_LENGTH !== 0) throw new RangeError(`a page holds whole slots of ${SLOT_LENGTH} bytes`)
  }

  /** A view of `length` zero bytes for this caller alone: 1 to 128. Release it on every path. */
  take(length: number): Buffer {
    if (!Number.isInteger(length) || length < 1 || length > SLOT_LENGTH) {
      throw new RangeError(`a secret has 1 to ${SLOT_LENGTH} bytes, not ${length}`)
    }
    const slot = this.#free.shift() ?? this.#grow()
    if (slot === undefined) {
      this.#overflows += 1
      return Buffer.from(new ArrayBuffer(SLOT_LENGTH), 0, length)
    }
    return (slot.view = Buffer.from(slot.page, slot.offset, length))
  }

  /** Whether these bytes are a secret that was taken here and not released. */
  holds(view: Uint8Array): boolean {
    return this.#slotOf(view)?.view === view
  }

  /**
   * Fills the slot with zeros and takes it back. A view that was released before is left alone, since its slot may have
   * another holder by now. Throws TypeError for a part of a slot: only a whole slot can be released.
   */
  release(view: Uint8Array): void {
    const slot = this.#slotOf(view)
    if (slot === undefined) {
      view.fill(0)
    } else if (slot.view === view) {
      slot.view = undefined
      new Uint8Array(slot.page, slot.offset, SLOT_LENGTH).fill(0)
      this.#released.add(view)
      this.#free.push(slot)
    } else if (!this.#released.has(view)) {
      throw new TypeError('only the view that was taken can be released')
    }
  }

  /** Throws when these bytes were released: they are now zeros, or another holder's. */
  assertHeld(view: Uint8Array): void {
    if (this.#released.has(view)) throw new Error('a secret was used after it was wiped')
  }

  get use(): ArenaUse {
    const slots = (this.#pages.size * this.#pageLength) / SLOT_LENGTH
    return { pages: this.#pages.size, live: slots - this.#free.length, overflows: this.#overflows }
  }

  #slotOf(view: Uint8Array): Slot | undefined {
    return this.#pages.get(view.buffer)?.[Math.floor(view.byteOffset / SLOT_LENGTH)]
  }

  #grow(): Slot | undefined {
    if (this.#pages.size >= this.#maxPages) return undefined
    const page = new ArrayBuffer(this.#pageLength)
    const slots = Array.from({ length: this.#pageLength / SLOT_LENGTH }, (_, i): Slot => {
      return { page, offset: i * SLOT_LENGTH, view: undefined }
    })
    this.#pages.set(page, slots)
    this.#free.push(...slots)
    return this.#free.shift()
  }
}

/** The arena of this process. */
export const secrets = new SecretArena()

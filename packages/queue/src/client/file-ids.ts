/** Ids in one block of memory. */
const BLOCK_IDS = 4_096
/** Bytes of an id. */
const ID_BYTES = 16

/**
 * Ids of very many files in the order in which they were added: 16 bytes each, and one block (64 KiB) more at most.
 *
 * An id can be added twice. `indexed` lists know the place of an id and ignore one that they hold; their index takes
 * another 6 to 12 bytes an id.
 */
export class FileIds {
  readonly #blocks: Buffer[] = []
  #size = 0
  /** Places plus one by hash, 0: free. Open addressing with linear probing, at most two thirds full. */
  #slots: Uint32Array | undefined

  /** @param fileIds lower-case UUIDs with dashes */
  constructor(fileIds: Iterable<string> = [], options: { readonly indexed?: boolean } = {}) {
    if (options.indexed === true) this.#slots = new Uint32Array(16)
    for (const fileId of fileIds) this.add(fileId)
  }

  get size(): number {
    return this.#size
  }

  /** Bytes of memory that hold the ids and their index. */
  get bytes(): number {
    return this.#blocks.length * BLOCK_IDS * ID_BYTES + (this.#slots?.byteLength ?? 0)
  }

  /** @throws TypeError for text that is no UUID */
  add(fileId: string): void {
    const hex = hexOf(fileId)
    if (this.#slots !== undefined && this.#find(hex) >= 0) return
    const offset = (this.#size % BLOCK_IDS) * ID_BYTES
    if (offset === 0) this.#blocks.push(Buffer.alloc(BLOCK_IDS * ID_BYTES))
    const written = this.#blocks.at(-1)?.write(hex, offset, ID_BYTES, 'hex')
    if (written !== ID_BYTES) throw new TypeError('a file id is a UUID')
    this.#size += 1
    if (this.#slots !== undefined) this.#index(this.#slots, this.#size - 1)
  }

  /** The id at a place, from 0. @throws RangeError */
  at(place: number): string {
    const hex = this.#hexAt(place)
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  }

  /** The place of an id; -1: not held, or the list is not indexed. */
  placeOf(fileId: string): number {
    return this.#slots === undefined || fileId.length !== 36 ? -1 : this.#find(hexOf(fileId))
  }

  #hexAt(place: number): string {
    if (!(place >= 0 && place < this.#size)) throw new RangeError(`there is no place ${place}`)
    const offset = (place % BLOCK_IDS) * ID_BYTES
    return this.#blocks[Math.floor(place / BLOCK_IDS)]?.toString('hex', offset, offset + ID_BYTES) ?? ''
  }

  #find(hex: string): number {
    const slots = this.#slots ?? new Uint32Array(1)
    const mask = slots.length - 1
    for (let slot = hashOf(hex) & mask; ; slot = (slot + 1) & mask) {
      const place = (slots[slot] ?? 0) - 1
      if (place < 0 || this.#hexAt(place) === hex) return place
    }
  }

  #index(slots: Uint32Array, added: number): void {
    const crowded = (added + 1) * 3 > slots.length * 2
    const grown = crowded ? new Uint32Array(slots.length * 2) : slots
    for (let place = crowded ? 0 : added; place <= added; place++) {
      let slot = hashOf(this.#hexAt(place)) & (grown.length - 1)
      while (grown[slot] !== 0) slot = (slot + 1) & (grown.length - 1)
      grown[slot] = place + 1
    }
    this.#slots = grown
  }
}

function hexOf(fileId: string): string {
  return fileId.replaceAll('-', '')
}

/** FNV-1a: ids may count up (UUIDv7), so no part of them alone is spread evenly. */
function hashOf(hex: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < hex.length; at++) hash = Math.imul(hash ^ hex.charCodeAt(at), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

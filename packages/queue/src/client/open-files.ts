import type { FileIds } from './file-ids.js'

/**
 * The files of a wait that have not ended: a bit for each of the ids, and a place from which the next ones are asked
 * about. Asking goes round: no file is asked about again before all other open ones were.
 */
export class OpenFiles {
  readonly #ids: FileIds
  readonly #ended: Uint8Array
  #open: number
  #next = 0

  constructor(ids: FileIds) {
    this.#ids = ids
    this.#ended = new Uint8Array(Math.ceil(ids.size / 8))
    this.#open = ids.size
  }

  /** How many are open. */
  get size(): number {
    return this.#open
  }

  isOpen(place: number): boolean {
    return ((this.#ended[place >> 3] ?? 0) & (1 << (place & 7))) === 0
  }

  /** The place of an open file; -1: it has ended, or is none of these. */
  placeOf(fileId: string): number {
    const place = this.#ids.placeOf(fileId)
    return place >= 0 && this.isOpen(place) ? place : -1
  }

  /** Places of the next open files, `most` of them at most, in the order of the ids and round again. */
  next(most: number): readonly number[] {
    const places: number[] = []
    const wanted = Math.min(most, this.#open)
    for (let place = this.#next; places.length < wanted; place = this.#after(place)) {
      if (this.isOpen(place)) places.push(place)
      this.#next = this.#after(place)
    }
    return places
  }

  idAt(place: number): string {
    return this.#ids.at(place)
  }

  /** @returns false when it had ended before */
  end(place: number): boolean {
    if (!this.isOpen(place)) return false
    this.#ended[place >> 3] = (this.#ended[place >> 3] ?? 0) | (1 << (place & 7))
    this.#open -= 1
    return true
  }

  #after(place: number): number {
    return place + 1 < this.#ids.size ? place + 1 : 0
  }
}

/**
 * Looks for keystream that was used twice, in every byte that the store ever received. The sources are zeros nearly
 * everywhere, so most of the ciphertext *is* keystream, and two uses of one key and counter show as equal blocks.
 * Blocks are sampled by their value (first byte 0), so a reuse at any offset is seen: a repeated block is sampled both
 * times.
 */

const BLOCK = 16
/** The header of an object (docs/design/format.md): public, and nearly the same in all attempts of one file. */
const HEADER = 320
/** The trailer (docs/design/format.md): length fields repeat there. It ends the object, and only the last part has it. */
const TRAILER = 96

export class KeystreamCheck {
  /** value → where it was first seen */
  #seen = new Map()
  compared = 0
  /** @type {string[]} */
  findings = []

  /**
   * @param {string} attempt the object's key
   * @param {number} offset of the body within the object
   * @param {Buffer} body a whole object, or one of its parts
   * @param {boolean} last whether the object ends with it
   */
  add(attempt, offset, body, last) {
    const from = offset === 0 ? HEADER : 0
    const to = body.length - (last ? TRAILER : 0)
    for (let at = from; at + BLOCK <= to; at += BLOCK) {
      if (body[at] !== 0) continue
      const value = body.toString('latin1', at, at + BLOCK)
      const place = `${attempt} at ${offset + at}`
      this.compared++
      const known = this.#seen.get(value)
      if (known === undefined) this.#seen.set(value, place)
      // The same part of the same attempt, sent again.
      else if (known !== place && this.findings.length < 20) this.findings.push(`${known} = ${place}`)
    }
  }
}

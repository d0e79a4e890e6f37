/** The stored bytes beside the plain ones, and the search for the plain ones in them. */

/**
 * Two lines of 16 bytes as `hexdump -C` prints them.
 *
 * @param {Uint8Array} bytes
 * @param {number} offset where to begin
 */
export function hexDump(bytes, offset) {
  const lines = []
  for (let at = offset; at < Math.min(offset + 32, bytes.length); at += 16) {
    const line = Buffer.from(bytes.subarray(at, Math.min(at + 16, offset + 32)))
    const hex = [...line].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = line.toString('latin1').replace(/[^ -~]/g, '.')
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  |${text}|`)
  }
  return lines.join('\n')
}

/**
 * Looks for the plaintext in the stored bytes: 16 bytes from each of 64 places spread over the file. A piece of
 * one repeated byte proves nothing and is left out.
 *
 * @param {Buffer} plaintext
 * @param {Buffer} stored
 * @returns {{ looked: number, found: number }}
 */
export function findPlaintext(plaintext, stored) {
  const length = 16
  const last = plaintext.length - length
  let looked = 0
  let found = 0
  if (last < 0) return { looked, found }
  const places = new Set(Array.from({ length: 64 }, (_, index) => Math.floor((last * index) / 63)))
  for (const place of places) {
    const piece = plaintext.subarray(place, place + length)
    if (piece.every((byte) => byte === piece[0])) continue
    looked++
    if (stored.includes(piece)) found++
  }
  return { looked, found }
}

/**
 * Looks for pieces of secrets in whatever a thief has carried off. A piece is any 8 consecutive bytes of a secret; it is found
 * raw, in hexadecimal (either case, any offset) and in base64 (either alphabet, any alignment), wherever it stands.
 *
 * 8 bytes are enough to be no accident: for a million pieces and a gigabyte, chance finds one in 20,000 searches.
 */
export const PIECE = 8
/** What is looked up first, as an exact number: 6 bytes fit into a double. */
const PREFIX = 6

export interface Secret {
  /** What a finding calls it. */
  readonly name: string
  readonly bytes: Uint8Array
}

export interface Found {
  readonly secret: string
  readonly place: string
  readonly dress: 'raw' | 'hex' | 'base64'
}

export class Pieces {
  readonly #byPrefix = new Map<number, { readonly piece: Buffer; readonly secret: string }[]>()
  #size = 0

  constructor(secrets: Iterable<Secret>) {
    for (const { name, bytes } of secrets) {
      const whole = Buffer.from(bytes)
      for (let at = 0; at + PIECE <= whole.length; at++) {
        const piece = whole.subarray(at, at + PIECE)
        const prefix = piece.readUIntBE(0, PREFIX)
        const known = this.#byPrefix.get(prefix)
        if (known === undefined) this.#byPrefix.set(prefix, [{ piece, secret: name }])
        else known.push({ piece, secret: name })
        this.#size++
      }
    }
  }

  /** How many pieces are looked for. */
  get size(): number {
    return this.#size
  }

  /** Every secret of which a piece is in these bytes, in whatever dress, once each. */
  findIn(place: string, bytes: Buffer): Found[] {
    const found = new Map<string, Found>()
    const look = (dress: Found['dress'], stretch: Buffer): void => {
      for (const secret of this.#scan(stretch)) found.set(`${secret}\0${dress}`, { secret, place, dress })
    }
    look('raw', bytes)
    for (const run of runsOf(bytes, HEX, 2 * PIECE)) {
      for (const from of [0, 1]) look('hex', Buffer.from(run.toString('latin1', from), 'hex'))
    }
    for (const run of runsOf(bytes, BASE64, Math.ceil((PIECE * 4) / 3))) {
      // Node reads both alphabets, and stops at nothing of a run.
      for (const from of [0, 1, 2, 3]) look('base64', Buffer.from(run.toString('latin1', from), 'base64'))
    }
    return [...found.values()]
  }

  *#scan(bytes: Buffer): Generator<string> {
    let prefix = 0
    for (let end = 0; end < bytes.length; end++) {
      // The last six bytes as one number: the oldest drops out at the top.
      prefix = (prefix % 2 ** 40) * 256 + (bytes[end] as number)
      if (end + 1 < PREFIX) continue
      const known = this.#byPrefix.get(prefix)
      if (known === undefined) continue
      const start = end + 1 - PREFIX
      for (const { piece, secret } of known) if (piece.equals(bytes.subarray(start, start + PIECE))) yield secret
    }
  }
}

const HEX = tableOf('0123456789abcdefABCDEF')
const BASE64 = tableOf('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_')

function tableOf(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const character of characters) table[character.charCodeAt(0)] = 1
  return table
}

/** Stretches of at least that many bytes that are all in the table. */
function* runsOf(bytes: Buffer, table: Uint8Array, least: number): Generator<Buffer> {
  let from = 0
  for (let at = 0; at <= bytes.length; at++) {
    if (at < bytes.length && table[bytes[at] as number] === 1) continue
    if (at - from >= least) yield bytes.subarray(from, at)
    from = at + 1
  }
}

/** Small helpers of the tests. */
import { uuidFromBytes } from '../src/uuid.js'

/** The plaintext of the vectors: byte i is (7·i + (i >> 8)) & 255. It repeats every 64 KiB. */
const PERIOD = 65536
const PATTERN = Buffer.alloc(PERIOD)
for (let i = 0; i < PERIOD; i++) PATTERN[i] = (7 * i + (i >> 8)) & 255

export function* pattern(length: number): Generator<Buffer> {
  for (let at = 0; at < length; at += PERIOD) yield PATTERN.subarray(0, Math.min(PERIOD, length - at))
}

export function patternBytes(length: number): Buffer {
  return Buffer.concat([...pattern(length)])
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

export function hex(text: string): Buffer {
  return Buffer.from(text, 'hex')
}

export function uuidOfHex(text: string): string {
  return uuidFromBytes(hex(text))
}

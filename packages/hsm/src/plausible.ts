/**
 * Whether 32 bytes could be the output of an HMAC. A token that answers CKR_OK with zeros, a constant fill, a counter
 * or a pattern would otherwise seal files under keys that can be guessed. Each test refuses a random output with the
 * given probability; together, and with the comparisons of sealing-guard.ts, less than 2^-61.1 (docs/design/hsm-pool.md, "Nonsense
 * with CKR_OK").
 */

export const OUTPUT_LENGTH = 32

/** Fewer distinct bytes of 32 than this: 2^-68.2. (30 are expected.) */
export const MIN_DISTINCT = 14
/** Fewer distinct differences of neighbours (31, modulo 256) than this, as in counters: 2^-71.4. */
export const MIN_DIFFERENCES = 13
/** Fewer bits set of 256 than this, or fewer not set: 2^-68.3. */
export const MIN_BITS = 55
/** Two of the four blocks of this length are equal: 2^-61.4. Equal halves are one case of it. */
const BLOCK = 8

export type Implausible = 'length' | 'zero' | 'repeated' | 'few-values' | 'pattern' | 'few-bits'

/** The fault of these bytes; undefined: none found. */
export function implausibility(output: Uint8Array): Implausible | undefined {
  if (output.length !== OUTPUT_LENGTH) return 'length'
  let any = 0
  let bits = 0
  const values = new Set<number>()
  const differences = new Set<number>()
  for (let i = 0; i < OUTPUT_LENGTH; i += 1) {
    const byte = output[i] ?? 0
    any |= byte
    for (let rest = byte; rest !== 0; rest &= rest - 1) bits += 1
    values.add(byte)
    if (i > 0) differences.add((byte - (output[i - 1] ?? 0)) & 0xff)
  }
  if (any === 0) return 'zero'
  if (hasEqualBlocks(output)) return 'repeated'
  if (values.size < MIN_DISTINCT) return 'few-values'
  if (differences.size < MIN_DIFFERENCES) return 'pattern'
  return bits < MIN_BITS || bits > 8 * OUTPUT_LENGTH - MIN_BITS ? 'few-bits' : undefined
}

function hasEqualBlocks(output: Uint8Array): boolean {
  for (let a = 0; a < OUTPUT_LENGTH; a += BLOCK) {
    for (let b = a + BLOCK; b < OUTPUT_LENGTH; b += BLOCK) {
      let differ = 0
      for (let i = 0; i < BLOCK; i += 1) differ |= (output[a + i] ?? 0) ^ (output[b + i] ?? 0)
      if (differ === 0) return true
    }
  }
  return false
}

const WORDS: Readonly<Record<Implausible, string>> = {
  length: 'bytes of another length',
  zero: 'zeros',
  repeated: 'a block that repeats',
  'few-values': 'a few values only',
  pattern: 'a pattern',
  'few-bits': 'almost all bits alike',
}

/** For a message: `zeros`, `a pattern`, … Never the bytes. */
export function inWords(what: Implausible): string {
  return WORDS[what]
}

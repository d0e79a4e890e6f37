import { createHmac, randomBytes } from 'node:crypto'

import { HsmError } from '../errors/hsm-error.js'
import { implausibility, inWords, OUTPUT_LENGTH } from '../plausible.js'
import { RecentDigests } from './recent-digests.js'

const HALF = OUTPUT_LENGTH / 2
const CKV_LENGTH = 8

/** Remembered halves of outputs: those of the last 2,048 files, as a file takes two derivations (suite 2: three). */
const REMEMBERED = 8_192

/** The inputs of an output. */
export interface Computed {
  readonly label: string
  /** The input: a nonce, or a suite 2 message; for a wrapped record its iv. */
  readonly input: Uint8Array
  /** The key's check value if it is known: it is the output for another input. */
  readonly checkValue?: Uint8Array | undefined
}

/**
 * Checks the HSM's outputs before they are used for sealing. Refuses with KEY_MISMATCH: values that no HMAC gives
 * (plausible.ts); a half that was seen in the output for another input (this includes one key's output returned for
 * another key, and equal outputs of the encryption and the signing master); the input itself; and the check value.
 *
 * It remembers keyed digests of halves, never outputs, under a random key of this process that {@link wipe} forgets.
 */
export class SealingGuard {
  readonly #key = randomBytes(32)
  readonly #seen: RecentDigests
  #wiped = false

  constructor(remembered = REMEMBERED) {
    this.#seen = new RecentDigests(remembered)
  }

  /** Throws HsmError KEY_MISMATCH unless all 32-byte parts of `output` may be used for sealing. */
  check(output: Uint8Array, computed: Computed): void {
    if (this.#wiped) throw new TypeError('the guard was wiped: its pool is closed')
    for (let at = 0; at < output.length; at += OUTPUT_LENGTH) {
      const what = implausibility(output.subarray(at, at + OUTPUT_LENGTH))
      if (what !== undefined) throw nonsense(computed.label, `it answers with ${inWords(what)}`)
    }
    const { checkValue, input } = computed
    if (checkValue?.length === CKV_LENGTH && equal(output.subarray(0, CKV_LENGTH), checkValue)) {
      throw nonsense(computed.label, 'it answers every input with its check value')
    }
    for (let at = 0; at < output.length; at += HALF) {
      const half = output.subarray(at, at + HALF)
      for (let from = 0; from + HALF <= input.length; from += HALF) {
        if (equal(half, input.subarray(from, from + HALF))) throw nonsense(computed.label, 'it answers with its input')
      }
    }
    this.#remember(output, computed)
  }

  /** Forgets everything; {@link check} throws afterwards. */
  wipe(): void {
    this.#wiped = true
    this.#key.fill(0)
    this.#seen.clear()
  }

  #remember(output: Uint8Array, { label, input }: Computed): void {
    const halves: string[] = []
    for (let at = 0; at < output.length; at += HALF) halves.push(this.#digest(output.subarray(at, at + HALF)))
    halves.forEach((half, place) => {
      // The same input may come again, and must then give the same output.
      const source = this.#digest(Buffer.from(`${label}\0${place}\0`, 'latin1'), input)
      const before = this.#seen.get(half)
      if (before !== undefined && before !== source) {
        throw nonsense(label, 'it answers two different inputs with the same bytes')
      }
      this.#seen.set(half, source)
    })
  }

  #digest(...parts: readonly Uint8Array[]): string {
    const hmac = createHmac('sha256', this.#key)
    for (const part of parts) hmac.update(part)
    return hmac.digest('base64url').slice(0, DIGEST_CHARACTERS)
  }
}

/** 144 bits. */
const DIGEST_CHARACTERS = 24

function equal(a: Uint8Array, b: Uint8Array): boolean {
  let differ = a.length ^ b.length
  for (let i = 0; i < a.length; i += 1) differ |= (a[i] ?? 0) ^ (b[i] ?? 0)
  return differ === 0
}

function nonsense(label: string, why: string): HsmError {
  return new HsmError('KEY_MISMATCH', `the token computes nonsense with ${label}: ${why}`, {
    fix: 'Take this HSM out of service and have it examined: it says CKR_OK and computes wrongly. Nothing is sealed with it.',
  })
}

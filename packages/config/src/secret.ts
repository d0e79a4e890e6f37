import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/**
 * A configured secret. It prints as `[redacted]` wherever a value is printed by accident (template strings, JSON,
 * `util.inspect`, `console.log`, string concatenation). Only `reveal()` and `bytes()` return it, so every use can be
 * found by searching for those two names. The value is in a private field: structured clones don't carry it.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The secret as a string, for the one call that needs it (a driver's options). Don't keep the result. */
  reveal(): string {
    return this.#value
  }

  /** The secret as UTF-8 in a dedicated buffer (never Node's shared slab); the caller owns it and wipes it. */
  bytes(): Buffer {
    const buffer = Buffer.alloc(Buffer.byteLength(this.#value))
    buffer.write(this.#value)
    return buffer
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [Symbol.toPrimitive](): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}

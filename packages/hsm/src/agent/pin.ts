import { closeSync, fstatSync, readSync } from 'node:fs'

const MAX_PIN = 256

/**
 * The PIN behind an inherited file descriptor. A regular file is read again for each login, and the PIN is not kept. A
 * PIN that comes through a pipe can be read only once; it is kept for the logins that a lost session may need.
 *
 * The binding takes the PIN as a string, which cannot be wiped; it lives no longer than the call.
 */
export class PinReader {
  readonly #fd: number
  #kept: Buffer | undefined

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Throws when there is no PIN: an empty one must never be tried. */
  use<T>(login: (pin: string) => T): T {
    const bytes = this.#kept ?? this.#read()
    const end = trimmedLength(bytes)
    if (end === 0) throw new Error('the PIN is empty')
    try {
      return login(bytes.toString('utf8', 0, end))
    } finally {
      if (bytes !== this.#kept) bytes.fill(0)
    }
  }

  #read(): Buffer {
    const isFile = fstatSync(this.#fd).isFile()
    const bytes = Buffer.alloc(MAX_PIN + 1)
    let length = 0
    while (length < bytes.length) {
      const read = readSync(this.#fd, bytes, length, bytes.length - length, isFile ? length : null)
      if (read === 0) break
      length += read
    }
    if (length > MAX_PIN) {
      bytes.fill(0)
      throw new Error(`the PIN is longer than ${MAX_PIN} bytes`)
    }
    const pin = bytes.subarray(0, length)
    if (!isFile) {
      closeSync(this.#fd)
      this.#kept = pin
    }
    return pin
  }
}

/** Files of secrets usually end with a newline that is not part of the secret. */
function trimmedLength(bytes: Buffer): number {
  let end = bytes.length
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end -= 1
  return end
}

import { describe, expect, it } from 'vitest'
import { writePlaintext } from '../src/files/write-plaintext.js'

const LENGTH = 64

/** Keeps what was written, and the buffers it came in. A write ends when `release` is called. */
function slowFile() {
  const written: Buffer[] = []
  const given: Buffer[] = []
  const waiting: (() => void)[] = []
  return {
    written,
    given,
    waiting,
    write: async (bytes: Uint8Array) => {
      given.push(bytes as Buffer)
      await new Promise<void>((resolve) => waiting.push(resolve))
      written.push(Buffer.from(bytes))
    },
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('plaintext on its way into a file', () => {
  it('is read on while one buffer is written, and each buffer is wiped and used again', async () => {
    const file = slowFile()
    const allocated = new Set<ArrayBufferLike>()
    let read = 0
    const progress: number[] = []
    const writing = writePlaintext(
      file,
      // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
      async function* (allocate) {
        for (; read < 10; read++) {
          const buffer = allocate(LENGTH)
          allocated.add(buffer.buffer)
          yield buffer.fill(read + 1).subarray(0, LENGTH - 1)
        }
      },
      (done) => progress.push(done),
    )
    await turn()
    // The first is being written, the second waits for it.
    expect(file.given).toHaveLength(1)
    expect(read).toBe(1)
    for (let i = 0; i < 10; i++) {
      file.waiting[i]?.()
      await turn()
    }
    expect(await writing).toBe(10 * (LENGTH - 1))
    expect(file.written).toEqual(Array.from({ length: 10 }, (_, i) => Buffer.alloc(LENGTH - 1, i + 1)))
    expect(progress).toEqual(Array.from({ length: 10 }, (_, i) => (i + 1) * (LENGTH - 1)))
    expect(allocated.size).toBeLessThanOrEqual(3)
    for (const buffer of file.given) expect(buffer.every((byte) => byte === 0)).toBe(true)
  })

  it('that cannot be written ends the reading, and is wiped', async () => {
    const given: Buffer[] = []
    let ended = false
    const file = { write: () => Promise.reject(new Error('disk full')) }
    const writing = writePlaintext(
      file,
      // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
      async function* (allocate) {
        try {
          for (;;) {
            const buffer = allocate(LENGTH).fill(7)
            given.push(buffer)
            yield buffer
          }
        } finally {
          ended = true
        }
      },
      () => undefined,
    )
    await expect(writing).rejects.toThrow('disk full')
    expect(ended).toBe(true)
    for (const buffer of given) expect(buffer.every((byte) => byte === 0)).toBe(true)
  })

  it('that ends by an error is waited for before the error is told', async () => {
    const file = slowFile()
    let over = false
    const writing = writePlaintext(
      file,
      // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
      async function* (allocate) {
        yield allocate(LENGTH).fill(7)
        throw new Error('not authentic')
      },
      () => undefined,
    ).finally(() => (over = true))
    writing.catch(() => undefined)
    await turn()
    expect(over).toBe(false)
    file.waiting[0]?.()
    await expect(writing).rejects.toThrow('not authentic')
    expect(file.given[0]?.every((byte) => byte === 0)).toBe(true)
  })

  it('in buffers of another owner is wiped, and those are not used again', async () => {
    const own = Buffer.alloc(LENGTH, 7)
    const fresh = new Set<ArrayBufferLike>()
    await writePlaintext(
      { write: () => Promise.resolve() },
      // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
      async function* (allocate) {
        yield own
        for (let i = 0; i < 3; i++) {
          const buffer = allocate(LENGTH)
          fresh.add(buffer.buffer)
          yield buffer
        }
      },
      () => undefined,
    )
    expect(own.every((byte) => byte === 0)).toBe(true)
    expect(fresh.has(own.buffer)).toBe(false)
  })
})

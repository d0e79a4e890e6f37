import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '@sealfleet/kernel'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ObjectReader, bufferReader } from '../src/reader.js'
import { fileReader } from '../src/file-reader.js'
import { inspectObject } from '../src/inspect.js'
import { openObject } from '../src/open.js'
import { segmentsAtOnce } from '../src/segment-window.js'
import { verifyObject } from '../src/verify.js'
import { collect } from './bytes.js'
import { S, codeOf, openAll, sealed } from './fixtures.js'

/** Gives chunks of the lengths in turn, from one buffer that it reuses. */
function choppy(bytes: Buffer, lengths: readonly number[]): ObjectReader {
  return {
    length: bytes.length,
    // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
    async *read(offset, length) {
      const shared = Buffer.alloc(Math.max(...lengths))
      for (let at = 0, i = 0; at < length; i++) {
        const take = Math.min(lengths[i % lengths.length] ?? 1, length - at)
        bytes.copy(shared, 0, offset + at, offset + at + take)
        yield shared.subarray(0, take)
        at += take
      }
    },
  }
}

describe('chunks of any size', () => {
  it.each([[[1]], [[7, 0, 1, 333]], [[S + 32]], [[S + 31, 2]], [[100_000]]])('%j', async (lengths) => {
    const { bytes, opening, plaintext } = await sealed(S + 100)
    using object = await openObject(choppy(bytes, lengths), opening)
    expect((await collect(object.readAll())).equals(plaintext)).toBe(true)
    expect((await verifyObject(choppy(bytes, lengths), opening)).segments).toBe(2)
  })
})

describe('a reader that breaks its promise', () => {
  /** The `nth` read gives `more` bytes than were asked for (fewer if negative). */
  function lying(bytes: Buffer, nth: number, more: number): ObjectReader {
    let reads = 0
    return {
      length: bytes.length,
      // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
      async *read(offset, length) {
        reads += 1
        const given = Buffer.alloc(length + (reads === nth ? more : 0))
        bytes.copy(given, 0, offset)
        for (let at = 0; at < given.length; at += 1000) yield given.subarray(at, at + 1000)
      },
    }
  }

  it.each([1, 2, 3].flatMap((nth) => [-1, 1, 5000].map((more) => [nth, more] as const)))(
    'read %i, %i bytes more: E_LENGTH',
    async (nth, more) => {
      const { bytes, opening } = await sealed(S + 100)
      const reading = async () => {
        using object = await openObject(lying(bytes, nth, more), opening)
        await collect(object.readAll())
      }
      expect(await codeOf(reading())).toBe('E_LENGTH')
      expect(await codeOf(verifyObject(lying(bytes, nth, more), opening))).toBe('E_LENGTH')
    },
  )

  it('its own errors pass unchanged, and poison the object', async () => {
    const { bytes, opening } = await sealed(S + 100)
    const inner = bufferReader(bytes)
    const broken = new Error('connection reset')
    let reads = 0
    const reader: ObjectReader = {
      length: bytes.length,
      read: (offset, length) => {
        reads += 1
        if (reads === 3) throw broken
        return inner.read(offset, length)
      },
    }
    using object = await openObject(reader, opening)
    await expect(collect(object.readAll())).rejects.toBe(broken)
    await expect(collect(object.readAll())).rejects.toBe(broken)
  })

  it('a length that is no length', async () => {
    const { bytes, opening } = await sealed(1)
    for (const length of [NaN, 448.5, 2 ** 60, Infinity]) {
      expect(await codeOf(openObject({ ...bufferReader(bytes), length }, opening))).toBe('E_LENGTH')
    }
  })

  it.each([16, 20, 24])('no number in the input asks for more than S + 32 bytes, S = 2^%i', async (segLog2) => {
    const { bytes, opening } = await sealed(3, { segLog2 })
    // A store that claims 16 TiB, and keeps sending.
    const claim: ObjectReader = {
      length: 416 + 2 ** 44 + 32 * (2 ** 44 / 2 ** segLog2),
      // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
      async *read(offset, length) {
        if (offset === 0) yield bytes.subarray(0, 320)
        else if (length === 96) yield bytes.subarray(-96)
        else for (;;) yield Buffer.alloc(4096)
      },
    }
    const sizes: number[] = []
    for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
      const original = Buffer[name].bind(Buffer)
      vi.spyOn(Buffer, name).mockImplementation((size: number) => {
        sizes.push(size)
        return original(size)
      })
    }
    expect(await codeOf(verifyObject(claim, opening))).toBe('E_LENGTH')
    expect(Math.max(...sizes)).toBeLessThanOrEqual(2 ** segLog2 + 32)
  })

  it('a segment that fails is the last that is read, but for those read ahead, in buffers of S + 32 bytes', async () => {
    const { bytes, opening } = await sealed(20 * S)
    const damaged = Buffer.from(bytes)
    damaged.writeUInt8(damaged.readUInt8(330) ^ 1, 330)
    const sizes: number[] = []
    const allocate = (size: number) => {
      sizes.push(size)
      return Buffer.alloc(size)
    }
    using object = await openObject(bufferReader(damaged), opening)
    expect(await codeOf(collect(object.readAll({ allocate })))).toBe('E_SEGMENT_AUTH')
    expect(sizes).toEqual(Array.from({ length: kernel() ? segmentsAtOnce(S) : 1 }, () => S + 32))
  })
})

describe('files', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sealfleet-format-'))
  })
  afterAll(async () => {
    await rm(folder, { recursive: true })
  })

  it('are read by path or by handle', async () => {
    const { bytes, opening, plaintext } = await sealed(8 * S + 100)
    const path = join(folder, 'object')
    await writeFile(path, bytes)
    await using byPath = await fileReader(path)
    using object = await openObject(byPath, opening)
    expect((await collect(object.readAll())).equals(plaintext)).toBe(true)
    const handle = await open(path)
    try {
      const byHandle = await fileReader(handle)
      expect(await inspectObject(byHandle)).toEqual(object.info)
      await byHandle.close()
      expect((await handle.stat()).size).toBe(bytes.length)
    } finally {
      await handle.close()
    }
  })

  it('that shrink while they are read end in E_LENGTH', async () => {
    const { bytes, opening } = await sealed(8 * S)
    const path = join(folder, 'shrinking')
    await writeFile(path, bytes)
    await using reader = await fileReader(path)
    using object = await openObject(reader, opening)
    await truncate(path, 2 * S)
    expect(await codeOf(collect(object.readAll()))).toBe('E_LENGTH')
  })

  it('that are none: E_FORMAT, or what the file system says', async () => {
    expect(await codeOf(fileReader(folder))).toBe('E_FORMAT')
    const fifo = join(folder, 'fifo')
    execFileSync('mkfifo', [fifo])
    expect(await codeOf(fileReader(fifo))).toBe('E_FORMAT')
    expect(await codeOf(fileReader(join(folder, 'missing')))).toBe('ENOENT')
    await writeFile(join(folder, 'empty'), '')
    await using empty = await fileReader(join(folder, 'empty'))
    expect(await codeOf(inspectObject(empty))).toBe('E_FORMAT')
  })
})

describe('inspecting foreign bytes', () => {
  it('never does anything but throw E_FORMAT, E_UNSUPPORTED or E_LENGTH', async () => {
    const fc = (await import('fast-check')).default
    const { bytes } = await sealed(20)
    const patch = fc.record({ at: fc.nat({ max: 319 }), value: fc.uint8Array({ minLength: 1, maxLength: 8 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(patch, { maxLength: 5 }), fc.nat({ max: 600 }), async (patches, length) => {
        const object = Buffer.alloc(length)
        bytes.copy(object)
        for (const { at, value } of patches) if (at + value.length <= length) object.set(value, at)
        expect(['none', 'E_FORMAT', 'E_UNSUPPORTED', 'E_LENGTH']).toContain(
          await codeOf(inspectObject(bufferReader(object))),
        )
      }),
      { numRuns: 300 },
    )
  })

  it('needs no key', async () => {
    const { bytes, opening, plaintext } = await sealed(20)
    const info = await inspectObject(bufferReader(bytes))
    expect(info).toMatchObject({ plaintextLength: 20, nonceMode: 'inline', segmentCount: 1 })
    expect((await openAll(bytes, opening)).equals(plaintext)).toBe(true)
  })
})

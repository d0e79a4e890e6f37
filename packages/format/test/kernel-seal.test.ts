/** What only the kernel's path does: it reads into the object's own buffers, and uses them while others run on. */
import { kernel, type Kernel, type Segment } from '@sealfleet/kernel'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ChunkWriter } from '../src/chunks.js'
import { deriveDataKey, deriveSigningKey } from '../src/derivation.js'
import { sealWithKernel } from '../src/kernel-seal.js'
import { type PlaintextReader, chunksOf, fillerOf } from '../src/plaintext.js'
import { createSealer } from '../src/seal.js'
import { wipe } from '../src/secret.js'
import { SegmentWindow, segmentsAtOnce } from '../src/segment-window.js'
import { geometryOfPlaintext } from '../src/sizes.js'
import { collect, patternBytes } from './bytes.js'
import { ATTEMPT, BOUNDARIES, MASTERS, S, codeOf, sealed } from './fixtures.js'
import { SoftwareHsm } from './software-hsm.js'

const hsm = new SoftwareHsm(MASTERS)

/** Gives the plaintext in reads of the lengths in turn. */
function readerOf(plaintext: Buffer, lengths: readonly number[] = [2 ** 20]): PlaintextReader & { reads: number } {
  let at = 0
  return {
    reads: 0,
    read(target) {
      const wanted = lengths[this.reads++ % lengths.length] ?? 1
      const taken = plaintext.copy(target, 0, at, Math.min(at + Math.max(1, wanted), at + target.length))
      at += taken
      return Promise.resolve(taken)
    },
  }
}

describe('a source that reads where it is told', () => {
  it('gives the same object, in any reads and any buffers, of known and unknown length', async () => {
    const reads = fc.array(fc.integer({ min: 1, max: S + 20 }), { minLength: 1, maxLength: 5 })
    const size = fc.oneof(fc.integer({ min: 100, max: 500 }), fc.integer({ min: 1000, max: 3 * S }))
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...BOUNDARIES),
        reads,
        size,
        fc.boolean(),
        async (length, lengths, chunkSize, known) => {
          const { bytes, plaintext } = await sealed(length)
          using sealer = await createSealer(ATTEMPT, hsm)
          const options = known ? { chunkSize, plaintextLength: length } : { chunkSize }
          expect((await collect(sealer.seal(readerOf(plaintext, lengths), options))).equals(bytes)).toBe(true)
        },
      ),
      { numRuns: 40 },
    )
  })

  it.each([-1, 1.5, NaN, 2 ** 40])('and says it gave %d bytes is refused', async (taken) => {
    for (const options of [{}, { plaintextLength: S }]) {
      using sealer = await createSealer(ATTEMPT, hsm)
      const lying = { read: () => Promise.resolve(taken) }
      await expect(collect(sealer.seal(lying, { chunkSize: 1000, ...options }))).rejects.toThrow('says that it gave')
    }
  })

  it('is asked for its end before the trailer is written', async () => {
    const plaintext = patternBytes(3 * S)
    const inner = readerOf(plaintext)
    let ended = false
    const source: PlaintextReader = {
      read: async (target) => {
        const taken = await inner.read(target)
        ended ||= taken === 0
        return taken
      },
    }
    using sealer = await createSealer(ATTEMPT, hsm)
    let taken = 0
    const { bytes } = await sealed(plaintext.length)
    for await (const part of sealer.seal(source, { chunkSize: 5000, plaintextLength: plaintext.length })) {
      taken += part.length
      if (taken > bytes.length - 96) expect(ended).toBe(true)
    }
  })

  it('and hangs is left when the signal aborts', async () => {
    const abort = new AbortController()
    using sealer = await createSealer(ATTEMPT, hsm)
    const hanging = { read: () => new Promise<number>(() => undefined) }
    const sealing = collect(sealer.seal(hanging, { chunkSize: 1000, plaintextLength: 5, signal: abort.signal }))
    abort.abort(new Error('drained'))
    await expect(sealing).rejects.toThrow('drained')
  })

  it('and writes after it was left leaves no plaintext there', async () => {
    for (const options of [{}, { plaintextLength: 5 }]) {
      const abort = new AbortController()
      using sealer = await createSealer(ATTEMPT, hsm)
      let target: Uint8Array = new Uint8Array(0)
      let answer: (taken: number) => void = () => undefined
      const late = {
        read: (place: Uint8Array) => {
          target = place
          return new Promise<number>((resolve) => (answer = resolve))
        },
      }
      const sealing = collect(sealer.seal(late, { chunkSize: 1000, signal: abort.signal, ...options }))
      abort.abort(new Error('drained'))
      await expect(sealing).rejects.toThrow('drained')
      target.fill(1)
      answer(5)
      await turn()
      expect(target.every((byte) => byte === 0)).toBe(true)
    }
  })

  it('leaves no plaintext in the buffer between, where one is needed', async () => {
    const chunks = chunksOf(readerOf(patternBytes(100)), 60, undefined)
    const first = await chunks.next()
    expect(first.value).toEqual(patternBytes(60))
    await chunks.return(undefined)
    expect(first.value).toEqual(Buffer.alloc(60))
  })

  it('of another length: E_LENGTH', async () => {
    for (const [length, plaintextLength] of [
      [S - 1, S],
      [S + 1, S],
      [0, 1],
      [1, 0],
    ] as const) {
      using sealer = await createSealer(ATTEMPT, hsm)
      const source = readerOf(patternBytes(length))
      expect(await codeOf(collect(sealer.seal(source, { chunkSize: 1000, plaintextLength })))).toBe('E_LENGTH')
    }
  })
})

/** A kernel whose jobs end when the test says so. */
class StubKernel {
  readonly path = 'evp'
  readonly jobs: {
    readonly segment: Segment
    readonly settle: (good: boolean) => void
    readonly fail: (e: Error) => void
  }[] = []
  run(segment: Segment): Promise<boolean> {
    return new Promise((settle, fail) => this.jobs.push({ segment, settle, fail }))
  }
}

async function stubbed(plaintextLength: number, chunkSize: number, check = () => {}) {
  const stub = new StubKernel()
  const buffers: Buffer[] = []
  const geometry = geometryOfPlaintext(plaintextLength, 16)
  const allocate = (size: number) => {
    const buffer = Buffer.alloc(size, 0xee)
    buffers.push(buffer)
    return buffer
  }
  const dataKey = await deriveDataKey(hsm, ATTEMPT)
  const signingKey = await deriveSigningKey(hsm, ATTEMPT)
  const sealing = sealWithKernel({
    kernel: stub as unknown as Kernel,
    writer: new ChunkWriter(chunkSize, allocate, geometry.objectLength - 320),
    filler: fillerOf([patternBytes(plaintextLength)], undefined),
    geometry,
    suite: 1,
    dataKey,
    signingKey,
    htag: Buffer.alloc(32),
    check,
  })
  return { stub, buffers, sealing, done: () => wipe(dataKey, signingKey) }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('buffers that a thread uses', () => {
  it('are not yielded before every segment in them is sealed, and several are sealed at once', async () => {
    const { stub, sealing, done } = await stubbed(8 * S, 4 * (S + 32))
    let yielded = false
    const first = sealing.next().then((step) => {
      yielded = true
      return step
    })
    await turn()
    // The next buffer's, too.
    expect(stub.jobs).toHaveLength(8)
    for (const job of stub.jobs.slice(1)) job.settle(true)
    await turn()
    expect(yielded).toBe(false)
    stub.jobs[0]?.settle(true)
    await first
    expect(yielded).toBe(true)
    const ending = sealing.return(undefined as never)
    await ending
    done()
  })

  it('leave as soon as they are sealed, while segments of the next one are in work', async () => {
    const { stub, buffers, sealing, done } = await stubbed(40 * S, 4 * (S + 32))
    const first = sealing.next()
    await turn()
    expect(stub.jobs).toHaveLength(8)
    for (const job of stub.jobs.slice(0, 4)) job.settle(true)
    expect((await first).value).toBe(buffers[0])
    expect(buffers).toHaveLength(2)
    // The consumer has the first: no third is begun before it asks for more.
    const second = sealing.next()
    await turn()
    expect(buffers).toHaveLength(3)
    expect(stub.jobs).toHaveLength(12)
    for (const job of stub.jobs.slice(4)) job.settle(true)
    expect((await second).value).toBe(buffers[1])
    await sealing.return(undefined as never)
    done()
  })

  it('are two at most, however long they are and wherever segments cross their ends', async () => {
    const native = kernel()
    if (!native) return
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 400, max: 5 * S }),
        fc.integer({ min: 0, max: 20 * S }),
        async (size, length) => {
          const plaintext = patternBytes(length)
          let held = 0
          let most = 0
          const allocate = (bytes: number) => {
            held += 1
            most = Math.max(most, held)
            return Buffer.alloc(bytes, 0xee)
          }
          using sealer = await createSealer(ATTEMPT, hsm)
          const parts: Buffer[] = []
          for await (const part of sealer.seal([plaintext], { chunkSize: size, plaintextLength: length, allocate })) {
            parts.push(part)
            held -= 1
          }
          expect(most).toBeLessThanOrEqual(2)
          expect(Buffer.concat(parts).equals((await sealed(length)).bytes)).toBe(true)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('are never yielded when one segment failed, and are wiped when no thread uses them any more', async () => {
    for (const way of ['fails', 'is not authentic'] as const) {
      const { stub, buffers, sealing, done } = await stubbed(8 * S, 4 * (S + 32))
      let over = false
      const first = sealing.next().finally(() => (over = true))
      first.catch(() => undefined)
      await turn()
      if (way === 'fails') stub.jobs[0]?.fail(new Error('OpenSSL failed'))
      else stub.jobs[0]?.settle(false)
      await turn()
      // The other jobs still run: their memory is not touched yet.
      expect(over).toBe(false)
      expect(buffers[0]?.subarray(0, S).equals(patternBytes(S))).toBe(true)
      for (const job of stub.jobs.slice(1)) job.settle(true)
      await expect(first).rejects.toThrow(way === 'fails' ? 'OpenSSL failed' : 'did not seal')
      expect(buffers).toHaveLength(2)
      for (const buffer of buffers) expect(buffer.every((byte) => byte === 0)).toBe(true)
      done()
    }
  })

  it('are waited for when sealing is aborted', async () => {
    let aborted = false
    const check = () => {
      if (aborted) throw new Error('drained')
    }
    const { stub, buffers, sealing, done } = await stubbed(8 * S, 4 * (S + 32), check)
    let over = false
    const first = sealing.next().finally(() => (over = true))
    first.catch(() => undefined)
    await turn()
    aborted = true
    stub.jobs[0]?.settle(true)
    await turn()
    expect(over).toBe(false)
    for (const job of stub.jobs.slice(1)) job.settle(true)
    await expect(first).rejects.toThrow('drained')
    for (const buffer of buffers) expect(buffer.every((byte) => byte === 0)).toBe(true)
    done()
  })
})

describe('a sealer that is wiped while segments wait for a thread', () => {
  it('seals none of them with another key', async () => {
    if (!kernel()) return
    const sealer = await createSealer(ATTEMPT, hsm)
    const parts: Buffer[] = []
    const { bytes } = await sealed(40 * S)
    const sealing = sealer.seal([patternBytes(40 * S)], { chunkSize: 11 * S, plaintextLength: 40 * S })
    const all = (async () => {
      for await (const part of sealing) parts.push(part)
    })()
    await turn()
    sealer.wipe()
    await expect(all).rejects.toThrow('wiped')
    const given = Buffer.concat(parts)
    expect(given.equals(bytes.subarray(0, given.length))).toBe(true)
  })
})

describe('a window', () => {
  it.each([
    [2 ** 16, 6],
    [2 ** 20, 6],
    [2 ** 21, 4],
    [2 ** 22, 2],
    [2 ** 24, 2],
  ])('of segments of %i bytes has %i', (size, most) => {
    expect(segmentsAtOnce(size)).toBe(most)
  })

  it('gives segments to the kernel in twos, and back in order', async () => {
    const stub = new StubKernel()
    const window = new SegmentWindow<{ segment: Segment; name: number }>(stub as unknown as Kernel)
    const add = (name: number) => window.add({ name, segment: { name } as unknown as Segment })
    add(0)
    await turn()
    expect(stub.jobs).toHaveLength(0)
    add(1)
    add(2)
    await turn()
    expect(stub.jobs).toHaveLength(2)
    stub.jobs[1]?.settle(true)
    stub.jobs[0]?.settle(true)
    expect((await window.next())?.work.name).toBe(0)
    expect((await window.next())?.work.name).toBe(1)
    const last = window.next()
    await turn()
    stub.jobs[2]?.settle(false)
    expect(await last).toMatchObject({ authentic: false, work: { name: 2 } })
    expect(await window.next()).toBeUndefined()
  })
})

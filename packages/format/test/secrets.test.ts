/**
 * Key material: where it lies, and that nothing of it is left, on every path. All buffers that this process allocates
 * are recorded, and all ciphers and HMACs; afterwards the buffers are searched for the known keys.
 */
import type * as crypto from 'node:crypto'
import { kernel } from '@sealfleet/kernel'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { KeyDeriver } from '../src/terms.js'
import { type SealOptions, createSealer } from '../src/seal.js'
import { bufferReader } from '../src/reader.js'
import { openObject } from '../src/open.js'
import { verifyObject } from '../src/verify.js'
import { secrets } from '../src/arena.js'
import { aesKeyOf, deriveDataKey, deriveSigningKey, initialCounterOf } from '../src/derivation.js'
import { collect, patternBytes } from './bytes.js'
import { wipe } from '../src/secret.js'
import { ATTEMPT, MASTERS, S, codeOf, flipBit, sealed } from './fixtures.js'
import { SoftwareHsm } from './software-hsm.js'

const { live, allocated } = vi.hoisted(() => ({ live: new Set<object>(), allocated: new Array<Buffer>() }))

vi.mock('node:crypto', async (importOriginal) => {
  const original = await importOriginal<typeof crypto>()
  /** Counts as live from its making until the method that makes Node free it. */
  const watch = <T extends object>(made: T, ending: keyof T): T => {
    live.add(made)
    const end = (made[ending] as (...args: unknown[]) => unknown).bind(made)
    made[ending] = ((...args: unknown[]) => {
      live.delete(made)
      const result = end(...args)
      if (Buffer.isBuffer(result)) allocated.push(result)
      return result
    }) as T[typeof ending]
    return made
  }
  return {
    ...original,
    createHmac: (...args: Parameters<typeof crypto.createHmac>) => watch(original.createHmac(...args), 'digest'),
    createCipheriv: (...args: Parameters<typeof crypto.createCipheriv>) =>
      watch(original.createCipheriv(...args), 'final'),
  }
})

/** Slots that other files of this process still hold. */
let liveBefore = 0

beforeEach(() => {
  liveBefore = secrets.use.live
  allocated.length = 0
  live.clear()
  // `from` and `concat` may use the shared slab: what they return is searched as well.
  for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow', 'from', 'concat'] as const) {
    const original = Buffer[name].bind(Buffer) as (...args: readonly unknown[]) => Buffer<ArrayBuffer>
    const record = (...args: readonly unknown[]) => {
      const buffer = original(...args)
      allocated.push(buffer)
      return buffer
    }
    vi.spyOn(Buffer, name as 'alloc').mockImplementation(record)
  }
})

afterEach(() => {
  vi.restoreAllMocks()
})

interface Secrets {
  readonly names: Readonly<Record<string, Uint8Array>>
}

async function secretsOf(attempt: SealOptions): Promise<Secrets> {
  const hsm = new SoftwareHsm(MASTERS)
  const dataKey = await deriveDataKey(hsm, attempt)
  const signingKey = await deriveSigningKey(hsm, attempt)
  // Copies that the recorder does not see.
  const names = {
    'AES key': new Uint8Array(aesKeyOf(attempt.suite, dataKey)),
    IV: new Uint8Array(initialCounterOf(attempt.suite, dataKey)),
    K_sig: new Uint8Array(signingKey),
  }
  wipe(dataKey, signingKey)
  return { names }
}

function holds(buffer: Buffer, secret: Uint8Array): boolean {
  return buffer.indexOf(secret) !== -1
}

/** Which secrets lie in a buffer that was made since the test began. */
function found({ names }: Secrets): string[] {
  return Object.entries(names)
    .filter(([, secret]) => allocated.some((buffer) => holds(buffer, secret)))
    .map(([name]) => name)
}

/** Nothing secret is left, no slot of the arena is taken that was free before, and no cipher or HMAC holds a key. */
function expectClean(keys: Secrets): void {
  expect(found(keys)).toEqual([])
  expect(secrets.use.live).toBe(liveBefore)
  expect(live.size).toBe(0)
}

const ATTEMPTS: SealOptions[] = [ATTEMPT, { ...ATTEMPT, suite: 2 }]
const CHUNK = { chunkSize: 1000 }

describe.each(ATTEMPTS)('sealing, suite $suite', (attempt) => {
  const start = async () => {
    const secrets = await secretsOf(attempt)
    const hsm = new SoftwareHsm(MASTERS)
    const sealer = await createSealer(attempt, hsm)
    // The search has power: while the sealer lives, it finds the keys.
    expect(found(secrets)).toContain('K_sig')
    expect(found(secrets)).toContain('AES key')
    return { secrets, hsm, sealer }
  }

  it('to the end', async () => {
    const { secrets, hsm, sealer } = await start()
    await collect(sealer.seal([patternBytes(2 * S + 1)], CHUNK))
    expectClean(secrets)
    expect(hsm.calls.every(({ output }) => output.every((byte) => byte === 0))).toBe(true)
  })

  it.each(['return', 'throw', 'wipe'] as const)('%s in the middle', async (way) => {
    const { secrets, sealer } = await start()
    const sealing = sealer.seal([patternBytes(2 * S), patternBytes(S)], CHUNK)
    await sealing.next()
    expect(live.size).toBeGreaterThan(0)
    if (way === 'return') await sealing.return()
    else if (way === 'throw') await expect(sealing.throw(new Error('stop'))).rejects.toThrow('stop')
    else sealer.wipe()
    expectClean(secrets)
  })

  it.each(['return', 'throw', 'asyncDispose'] as const)('%s before the first byte was asked for', async (way) => {
    const { secrets, sealer } = await start()
    const sealing = sealer.seal([patternBytes(1)], CHUNK)
    if (way === 'return') await sealing.return()
    else if (way === 'throw') await expect(sealing.throw(new Error('stop'))).rejects.toThrow('stop')
    else await sealing[Symbol.asyncDispose]()
    expectClean(secrets)
  })

  it('a consumer that breaks', async () => {
    const { secrets, sealer } = await start()
    for await (const chunk of sealer.seal([patternBytes(3 * S)], CHUNK)) {
      expect(chunk).toHaveLength(1000)
      break
    }
    expectClean(secrets)
  })

  it('a source that fails, with the length known and unknown', async () => {
    for (const options of [CHUNK, { ...CHUNK, plaintextLength: 3 * S }]) {
      const { secrets, sealer } = await start()
      const failing = function* () {
        yield patternBytes(S + 5)
        throw new Error('disk')
      }
      await expect(collect(sealer.seal(failing(), options))).rejects.toThrow('disk')
      expectClean(secrets)
    }
  })

  it('a source that hangs, when the signal aborts', async () => {
    const { secrets, sealer } = await start()
    const abort = new AbortController()
    let closed = false
    const hanging: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => undefined),
        return: () => {
          closed = true
          return new Promise(() => undefined)
        },
      }),
    }
    const sealing = collect(sealer.seal(hanging, { ...CHUNK, signal: abort.signal }))
    abort.abort(new Error('drained'))
    await expect(sealing).rejects.toThrow('drained')
    expect(closed).toBe(true)
    expectClean(secrets)
  })

  it('a signal that aborts while the consumer holds a buffer', async () => {
    const { secrets, sealer } = await start()
    const abort = new AbortController()
    const sealing = sealer.seal([patternBytes(3 * S)], { ...CHUNK, signal: abort.signal })
    await sealing.next()
    abort.abort(new Error('drained'))
    await expect(sealing.next()).rejects.toThrow('drained')
    expectClean(secrets)
  })

  it('dispose alone', async () => {
    const { secrets, sealer } = await start()
    sealer[Symbol.dispose]()
    expectClean(secrets)
  })

  it('an HSM that fails for one of the two keys, or an abort meanwhile', async () => {
    const secrets = await secretsOf(attempt)
    const hsm = new SoftwareHsm(MASTERS)
    for (const role of ['enc', 'sig'] as const) {
      const half: KeyDeriver = {
        hmac: (key, message) => (key.role === role ? Promise.reject(new Error('gone')) : hsm.hmac(key, message)),
      }
      await expect(createSealer(attempt, half)).rejects.toThrow('gone')
      expectClean(secrets)
    }
    const abort = new AbortController()
    const aborting: KeyDeriver = {
      hmac: (key, message) => {
        abort.abort(new Error('drained'))
        return hsm.hmac(key, message)
      },
    }
    await expect(createSealer(attempt, aborting, { signal: abort.signal })).rejects.toThrow('drained')
    expectClean(secrets)
  })
})

describe.each(ATTEMPTS)('opening, suite $suite', (attempt) => {
  const start = async (bit?: number) => {
    const secrets = await secretsOf(attempt)
    const { bytes, opening } = await sealed(2 * S + 1, attempt)
    const reader = bufferReader(bit === undefined ? bytes : flipBit(bytes, bit))
    return { secrets, reader, opening }
  }

  it('keeps its keys until it is disposed of', async () => {
    const { secrets, reader, opening } = await start()
    const object = await openObject(reader, opening)
    await collect(object.readAll())
    expect(found(secrets)).toContain('K_sig')
    expect(live.size).toBe(0)
    object[Symbol.dispose]()
    expectClean(secrets)
  })

  it('a damaged header, trailer or key commitment', async () => {
    for (const at of [0x80, 0x120, 320 + 2 * S + 1 + 96 + 40]) {
      const { secrets, reader, opening } = await start(8 * at)
      await expect(openObject(reader, opening)).rejects.toThrow()
      expectClean(secrets)
    }
    const { secrets, reader, opening } = await start()
    const keys = new SoftwareHsm({ ...MASTERS, enc: Buffer.alloc(32, 1) })
    expect(await codeOf(openObject(reader, { ...opening, keys }))).toBe('E_KEY_COMMIT')
    expectClean(secrets)
  })

  it('a damaged segment wipes at once', async () => {
    const { secrets, reader, opening } = await start(8 * (320 + S + 40))
    const object = await openObject(reader, opening)
    expect(await codeOf(collect(object.readAll()))).toBe('E_SEGMENT_AUTH')
    expectClean(secrets)
  })

  it('a reader that stops early finishes its cipher', async () => {
    const { secrets, reader, opening } = await start()
    {
      using object = await openObject(reader, opening)
      for await (const chunk of object.readAll()) {
        expect(chunk).toHaveLength(S)
        break
      }
      expect(live.size).toBe(0)
      const suspended = object.readRange(0, 2 * S)
      await suspended.next()
      // The kernel's key schedules live no longer than a segment's job.
      expect(live.size).toBe(kernel() ? 0 : 1)
    }
    expectClean(secrets)
  })

  it('an abort in the middle', async () => {
    const { secrets, reader, opening } = await start()
    const abort = new AbortController()
    const object = await openObject(reader, opening)
    const reading = object.readAll({ signal: abort.signal })
    await reading.next()
    abort.abort(new Error('drained'))
    await expect(reading.next()).rejects.toThrow('drained')
    expectClean(secrets)
  })

  it('verifying, to the end and with a damaged segment', async () => {
    const good = await start()
    await verifyObject(good.reader, good.opening)
    expectClean(good.secrets)
    const bad = await start(8 * (320 + S + 40))
    expect(await codeOf(verifyObject(bad.reader, bad.opening))).toBe('E_SEGMENT_AUTH')
    expectClean(bad.secrets)
  })
})

describe('detached nonces', () => {
  it('are in no buffer of a sealer once it was made, but those of the HSM', async () => {
    const attempt = { ...ATTEMPT, kekVersion: 2 }
    const hsm = new SoftwareHsm(MASTERS)
    allocated.length = 0
    using sealer = await createSealer(attempt, hsm)
    for (const { message } of hsm.calls) message.fill(0)
    expect(sealer.header).toHaveLength(320)
    for (const nonce of [ATTEMPT.nonceEnc, ATTEMPT.nonceSig]) {
      expect(allocated.some((buffer) => holds(buffer, nonce))).toBe(false)
    }
  })

  it('are wiped with the object', async () => {
    const { bytes, opening, hsm } = await sealed(5, { kekVersion: 2 })
    allocated.length = 0
    const nonces = [ATTEMPT.nonceEnc, ATTEMPT.nonceSig]
    const left = () => nonces.filter((nonce) => allocated.some((buffer) => holds(buffer, nonce))).length
    const object = await openObject(bufferReader(bytes), opening)
    expect(left()).toBe(2)
    object.wipe()
    // What the software HSM wrote down of its inputs is not ours.
    for (const { message } of hsm.calls) message.fill(0)
    expect(left()).toBe(0)
  })
})

describe('what a check computed', () => {
  it('is wiped: the right tag of a forged header is nowhere to be found', async () => {
    const { bytes, opening } = await sealed(5)
    const right = Uint8Array.from(bytes.subarray(0x120, 0x140))
    const reader = bufferReader(flipBit(bytes, 8 * 0x120))
    allocated.length = 0
    expect(await codeOf(openObject(reader, opening))).toBe('E_HEADER_AUTH')
    expect(allocated.some((buffer) => holds(buffer, right))).toBe(false)
  })
})

describe('derived keys', () => {
  it('lie in the arena, outside of V8’s heap, whatever the deriver gave', async () => {
    for (const attempt of ATTEMPTS) {
      const hsm = new SoftwareHsm(MASTERS)
      for (const key of [await deriveDataKey(hsm, attempt), await deriveSigningKey(hsm, attempt)]) {
        expect(secrets.holds(key)).toBe(true)
        // Typed arrays of up to 64 bytes may be on the heap; a view of a larger ArrayBuffer is never.
        expect(key.buffer.byteLength).toBeGreaterThan(64)
        wipe(key)
      }
    }
  })

  it('are in no property that can be seen or printed', async () => {
    const { inspect } = await import('node:util')
    const secrets = await secretsOf(ATTEMPT)
    const { bytes, opening } = await sealed(5)
    using sealer = await createSealer(ATTEMPT, new SoftwareHsm(MASTERS))
    using object = await openObject(bufferReader(bytes), opening)
    const seen = [sealer, object].map((thing) => inspect(thing, { depth: 9, showHidden: true, maxArrayLength: null }))
    for (const secret of Object.values(secrets.names)) {
      const printed = [...secret].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
      for (const text of seen) expect(text).not.toContain(printed.slice(0, 23))
    }
  })
})

import { kernel } from '@sealfleet/kernel'
import { describe, expect, it } from 'vitest'
import type { OpenOptions } from '../src/admission.js'
import type { RecordView } from '../src/record-view.js'
import { bufferReader } from '../src/reader.js'
import { inspectObject } from '../src/inspect.js'
import { openObject } from '../src/open.js'
import { verifyObject } from '../src/verify.js'
import { keyCommitOf, headerTagOf } from '../src/header.js'
import { deriveSigningKey } from '../src/derivation.js'
import { mac } from '../src/mac.js'
import { encodeTrailer } from '../src/trailer.js'
import { collect } from './bytes.js'
import {
  ATTEMPT,
  CONTEXT,
  FILE_ID,
  MASTERS,
  OTHER_ID,
  S,
  codeOf,
  flipBit,
  openAll,
  recordOf,
  sealed,
} from './fixtures.js'
import { SoftwareHsm } from './software-hsm.js'

describe('expectations', () => {
  it('another file', async () => {
    const { bytes, opening, hsm } = await sealed(5)
    const asked = hsm.calls.length
    expect(await codeOf(openAll(bytes, { ...opening, expectedFileId: OTHER_ID }))).toBe('E_WRONG_FILE')
    expect(hsm.calls).toHaveLength(asked)
    await expect(openAll(bytes, { ...opening, expectedFileId: 'x' })).rejects.toThrow(TypeError)
  })

  it('another context, one byte more or less, or none; unchecked is told', async () => {
    const { bytes, opening } = await sealed(5)
    const others = [
      Buffer.alloc(0),
      CONTEXT.subarray(1),
      Buffer.concat([CONTEXT, Buffer.alloc(1)]),
      flipBit(CONTEXT, 3),
    ]
    for (const context of others) expect(await codeOf(openAll(bytes, { ...opening, context }))).toBe('E_CONTEXT')
    await expect(openAll(bytes, { ...opening, context: Buffer.alloc(1025) })).rejects.toThrow(RangeError)
    using checked = await openObject(bufferReader(bytes), opening)
    using unchecked = await openObject(bufferReader(bytes), { ...opening, context: 'unchecked' })
    expect([checked.contextChecked, unchecked.contextChecked]).toEqual([true, false])
    const verified = await verifyObject(bufferReader(bytes), { ...opening, context: 'unchecked' })
    expect(verified.contextChecked).toBe(false)
  })

  it('a suite that policy excludes', async () => {
    const { bytes, opening } = await sealed(5)
    expect(await codeOf(openAll(bytes, { ...opening, allowedSuites: [2] }))).toBe('E_UNSUPPORTED')
    expect(await codeOf(openAll(bytes, { ...opening, allowedSuites: [] }))).toBe('E_UNSUPPORTED')
    expect(await codeOf(openAll(bytes, { ...opening, allowedSuites: [1, 2] }))).toBe('none')
  })

  const other = Buffer.alloc(32, 1)
  const RECORDS: [string, Partial<RecordView>, string][] = [
    ['file', { fileId: OTHER_ID }, 'E_RECORD_MISMATCH'],
    ['attempt', { attemptId: OTHER_ID }, 'E_RECORD_MISMATCH'],
    ['suite', { suite: 2 }, 'E_RECORD_MISMATCH'],
    ['encryption key', { encKeyVersion: 8 }, 'E_RECORD_MISMATCH'],
    ['signing key', { sigKeyVersion: 8 }, 'E_RECORD_MISMATCH'],
    ['domain', { keyDomain: OTHER_ID }, 'E_RECORD_MISMATCH'],
    ['nonce', { nonceEnc: other }, 'E_RECORD_MISMATCH'],
    ['signing nonce', { nonceSig: other.subarray(1) }, 'E_RECORD_MISMATCH'],
    ['attempt number', { attemptNo: 6 }, 'E_RECORD_MISMATCH'],
    // One segment either way: nothing else about the object tells.
    ['segment size', { segLog2: 17 }, 'E_RECORD_MISMATCH'],
    ['nonce mode', { nonceMode: 'detached' }, 'E_RECORD_MISMATCH'],
    ['length', { objectLength: 448 }, 'E_RECORD_MISMATCH'],
    ['plaintext length', { plaintextLength: 4 }, 'E_RECORD_MISMATCH'],
    ['HTAG', { htag: other }, 'E_RECORD_MISMATCH'],
    ['FMAC', { fmac: other }, 'E_TRAILER_AUTH'],
  ]
  it.each(RECORDS)('a record with another %s', async (_, difference, code) => {
    const fixture = await sealed(5)
    const record = await recordOf(fixture)
    expect(await codeOf(openAll(fixture.bytes, { ...fixture.opening, record }))).toBe('none')
    const asked = fixture.hsm.calls.length
    const wrong = { ...record, ...difference }
    expect(await codeOf(openAll(fixture.bytes, { ...fixture.opening, record: wrong }))).toBe(code)
    expect(fixture.hsm.calls.length - asked).toBe(code === 'E_RECORD_MISMATCH' ? 0 : 1)
  })

  it('a record with plain nonces never fits a detached object; one without says nothing of them', async () => {
    const fixture = await sealed(5, { kekVersion: 2 })
    const record = await recordOf(fixture)
    expect(await codeOf(openAll(fixture.bytes, { ...fixture.opening, record }))).toBe('none')
    const plain = { ...record, nonceEnc: ATTEMPT.nonceEnc }
    expect(await codeOf(openAll(fixture.bytes, { ...fixture.opening, record: plain }))).toBe('E_RECORD_MISMATCH')
  })
})

describe('keys', () => {
  it('unknown and destroyed ones, before the HSM is asked', async () => {
    const { bytes, opening, hsm } = await sealed(5)
    const asked = hsm.calls.length
    for (const role of ['enc', 'sig'] as const) {
      for (const [state, code] of [
        ['unknown', 'E_KEY_UNKNOWN'],
        ['destroyed', 'E_KEY_DESTROYED'],
      ] as const) {
        const keyState: OpenOptions['keyState'] = (key) => Promise.resolve(key.role === role ? state : 'usable')
        expect(await codeOf(openAll(bytes, { ...opening, keyState }))).toBe(code)
        const audited = await codeOf(verifyObject(bufferReader(bytes), { ...opening, keyState }))
        expect(audited).toBe(role === 'sig' ? code : 'none')
      }
    }
    expect(hsm.calls.slice(asked).every(({ key }) => key.role === 'sig')).toBe(true)
  })

  it('errors of the HSM pass unchanged', async () => {
    const { bytes, opening } = await sealed(5)
    const gone = Object.assign(new Error('out of reach'), { code: 'HSM_UNAVAILABLE' })
    const keys = { hmac: () => Promise.reject(gone) }
    await expect(openAll(bytes, { ...opening, keys })).rejects.toBe(gone)
    await expect(verifyObject(bufferReader(bytes), { ...opening, keys })).rejects.toBe(gone)
  })

  it('another signing master is E_HEADER_AUTH, another encryption master E_KEY_COMMIT', async () => {
    const { bytes, opening } = await sealed(5)
    const wrong = Buffer.alloc(32, 0x99)
    const otherSig = new SoftwareHsm({ ...MASTERS, sig: wrong })
    const otherEnc = new SoftwareHsm({ ...MASTERS, enc: wrong })
    expect(await codeOf(openAll(bytes, { ...opening, keys: otherSig }))).toBe('E_HEADER_AUTH')
    expect(await codeOf(openAll(bytes, { ...opening, keys: otherEnc }))).toBe('E_KEY_COMMIT')
    expect(await codeOf(verifyObject(bufferReader(bytes), { ...opening, keys: otherEnc }))).toBe('none')
  })

  it('an auditor, who has the signing master alone, verifies and cannot open', async () => {
    const { bytes, opening } = await sealed(S + 1)
    const auditor = new SoftwareHsm({ ...MASTERS, enc: Buffer.alloc(0), exists: ({ role }) => role === 'sig' })
    const result = await verifyObject(bufferReader(bytes), { ...opening, keys: auditor })
    expect(result).toMatchObject({ segments: 2, plaintextLength: S + 1, contextChecked: true })
    expect(await codeOf(openAll(bytes, { ...opening, keys: auditor }))).toBe('E_KEY_UNKNOWN')
  })
})

describe('detached nonces', () => {
  it('are nowhere in the object, and needed to open it', async () => {
    const { bytes, opening, plaintext } = await sealed(100, { kekVersion: 2 })
    expect(bytes.indexOf(ATTEMPT.nonceEnc)).toBe(-1)
    expect(bytes.indexOf(ATTEMPT.nonceSig)).toBe(-1)
    const { keys, context, wrappedNonces, unwrapper } = opening
    expect(await codeOf(openAll(bytes, { keys, context }))).toBe('E_NONCES_ABSENT')
    expect(await codeOf(openAll(bytes, { keys, context, wrappedNonces }))).toBe('E_NONCES_ABSENT')
    expect(await codeOf(openAll(bytes, { keys, context, unwrapper }))).toBe('E_NONCES_ABSENT')
    const nonces = { nonceEnc: ATTEMPT.nonceEnc, nonceSig: ATTEMPT.nonceSig }
    expect(await openAll(bytes, { keys, context, nonces })).toEqual(plaintext)
    const others = { ...nonces, nonceEnc: Buffer.alloc(32, 1) }
    expect(await codeOf(openAll(bytes, { keys, context, nonces: others }))).toBe('E_HEADER_AUTH')
    const same = { ...nonces, nonceEnc: nonces.nonceSig }
    await expect(openAll(bytes, { keys, context, nonces: same })).rejects.toThrow(TypeError)
  })

  it('under a KEK that is unknown or was destroyed', async () => {
    const { bytes, opening } = await sealed(5, { kekVersion: 2 })
    for (const [state, code] of [
      ['unknown', 'E_KEY_UNKNOWN'],
      ['destroyed', 'E_KEY_DESTROYED'],
    ] as const) {
      const keyState: OpenOptions['keyState'] = (key) => Promise.resolve(key.role === 'kek' ? state : 'usable')
      expect(await codeOf(openAll(bytes, { ...opening, keyState }))).toBe(code)
    }
  })
})

describe('plaintext', () => {
  it('leaves segment by segment, each only when it is authentic', async () => {
    const { bytes, opening, plaintext } = await sealed(3 * S)
    const damaged = flipBit(bytes, 8 * (320 + S + 32 + S + 31))
    const buffers: Buffer[] = []
    const allocate = (size: number) => {
      const buffer = Buffer.alloc(size)
      buffers.push(buffer)
      return buffer
    }
    using object = await openObject(bufferReader(damaged), opening)
    const released: Buffer[] = []
    const reading = async () => {
      for await (const chunk of object.readAll({ allocate })) released.push(Buffer.from(chunk))
    }
    expect(await codeOf(reading())).toBe('E_SEGMENT_AUTH')
    expect(Buffer.concat(released).equals(plaintext.subarray(0, S))).toBe(true)
    // The kernel reads ahead. What it has decrypted beyond, and will not release, is wiped.
    expect(buffers).toHaveLength(kernel() ? 3 : 2)
    if (kernel()) expect(buffers[2]?.every((byte) => byte === 0)).toBe(true)
    // The second buffer still holds ciphertext: nothing in it was ever decrypted.
    expect(buffers[1]?.equals(damaged.subarray(320 + S + 32, 320 + 2 * (S + 32)))).toBe(true)
  })

  it('ends only when the digest of all tags is right: checked before the last bytes go', async () => {
    const { bytes, opening, attempt, hsm } = await sealed(2 * S)
    const signingKey = await deriveSigningKey(hsm, attempt)
    const forged = encodeTrailer(signingKey, bytes.subarray(0x120, 0x140), {
      plaintextLength: 2 * S,
      segmentCount: 2,
      tagsDigest: Buffer.alloc(32, 1),
    })
    const object = Buffer.concat([bytes.subarray(0, -96), forged])
    using opened = await openObject(bufferReader(object), opening)
    const released: number[] = []
    const reading = async () => {
      for await (const chunk of opened.readAll()) released.push(chunk.length)
    }
    expect(await codeOf(reading())).toBe('E_TRAILER_AUTH')
    expect(released).toEqual([S])
    expect(await codeOf(verifyObject(bufferReader(object), opening))).toBe('E_TRAILER_AUTH')
  })

  it('of an object whose signer lied about its lengths or reserved bytes stays where it is', async () => {
    const { bytes, opening, attempt, hsm } = await sealed(20)
    const signingKey = await deriveSigningKey(hsm, attempt)
    const htag = bytes.subarray(0x120, 0x140)
    const tagsDigest = bytes.subarray(-64, -32)
    for (const lengths of [
      { plaintextLength: 19, segmentCount: 1 },
      { plaintextLength: 20, segmentCount: 2 },
    ]) {
      const forged = encodeTrailer(signingKey, htag, { ...lengths, tagsDigest })
      expect(await codeOf(openAll(Buffer.concat([bytes.subarray(0, -96), forged]), opening))).toBe('E_LENGTH')
    }
  })

  it('of an object whose signer filled reserved bytes of the trailer stays where it is', async () => {
    const { bytes, opening, attempt, hsm } = await sealed(20)
    const signingKey = await deriveSigningKey(hsm, attempt)
    const object = Buffer.from(bytes)
    const trailer = object.subarray(-96)
    trailer.writeUInt8(1, 31)
    mac(signingKey, 'final', bytes.subarray(0x120, 0x140), trailer.subarray(0, 64)).copy(trailer, 64)
    expect(await codeOf(openAll(object, opening))).toBe('E_TRAILER_AUTH')
  })

  it('of an object whose inline nonces no sealer would use is never asked of the HSM', async () => {
    const { bytes, opening, hsm } = await sealed(20)
    const asked = hsm.calls.length
    for (const [from, to] of [
      [0x40, 0x60],
      [0x60, 0x80],
      [0x40, 0x80],
    ] as const) {
      const object = Buffer.from(bytes).fill(0, from, to)
      expect(await codeOf(openAll(object, opening))).toBe('E_FORMAT')
    }
    const equal = Buffer.from(bytes)
    equal.copy(equal, 0x40, 0x60, 0x80)
    expect(await codeOf(openAll(equal, opening))).toBe('E_FORMAT')
    expect(hsm.calls).toHaveLength(asked)
  })

  it('never comes from a data key to which the header does not commit, though signed', async () => {
    const { bytes, opening, attempt, hsm } = await sealed(20)
    const signingKey = await deriveSigningKey(hsm, attempt)
    const logical = bytes.subarray(0, 256)
    const keyCommit = keyCommitOf(signingKey, logical, Buffer.alloc(32, 1))
    const htag = headerTagOf(signingKey, logical, keyCommit)
    const trailer = encodeTrailer(signingKey, htag, {
      plaintextLength: 20,
      segmentCount: 1,
      tagsDigest: Buffer.alloc(32),
    })
    const object = Buffer.concat([logical, keyCommit, htag, bytes.subarray(320, -96), trailer])
    expect(await codeOf(openAll(object, opening))).toBe('E_KEY_COMMIT')
  })
})

describe('an opened object', () => {
  it('stays in error after an error', async () => {
    const { bytes, opening } = await sealed(2 * S)
    using object = await openObject(bufferReader(flipBit(bytes, 8 * (320 + S + 32))), opening)
    expect(await codeOf(collect(object.readAll()))).toBe('E_SEGMENT_AUTH')
    expect(await codeOf(collect(object.readRange(0, 1)))).toBe('E_SEGMENT_AUTH')
    expect(await codeOf(collect(object.readAll()))).toBe('E_SEGMENT_AUTH')
  })

  it('can be read again and again, and at once', async () => {
    const { bytes, opening, plaintext } = await sealed(2 * S + 9)
    using object = await openObject(bufferReader(bytes), opening)
    const [all, again, range] = await Promise.all([
      collect(object.readAll()),
      collect(object.readAll()),
      collect(object.readRange(5, S + 5)),
    ])
    expect(all.equals(plaintext) && again.equals(plaintext)).toBe(true)
    expect(range.equals(plaintext.subarray(5, S + 5))).toBe(true)
  })

  it('is over once it was wiped, also for a read in progress', async () => {
    const { bytes, opening } = await sealed(2 * S + 9)
    const object = await openObject(bufferReader(bytes), opening)
    const reading = object.readAll()
    await reading.next()
    object.wipe()
    await expect(reading.next()).rejects.toThrow('was closed')
    await expect(collect(object.readAll())).rejects.toThrow('was closed')
    const other = await openObject(bufferReader(bytes), opening)
    const atItsEnd = other.readRange(0, 5)
    await atItsEnd.next()
    other.wipe()
    await expect(atItsEnd.next()).rejects.toThrow('was closed')
  })

  it('tells what it is', async () => {
    const { bytes, opening } = await sealed(S + 1, { kekVersion: 2, suite: 2 })
    using object = await openObject(bufferReader(bytes), opening)
    expect(object.info).toEqual(await inspectObject(bufferReader(bytes)))
    expect(object.info).toMatchObject({
      suite: 2,
      fileId: FILE_ID,
      attemptNo: 5,
      encKeyVersion: 7,
      sigKeyVersion: 3,
      kekVersion: 2,
      segLog2: 16,
      segmentSize: S,
      segmentCount: 2,
      plaintextLength: S + 1,
      objectLength: bytes.length,
      nonceMode: 'detached',
      nonceEnc: null,
      nonceSig: null,
      createdMs: ATTEMPT.createdMs,
      keyDomain: 'default',
    })
    expect(object.trailer.fmac).toEqual(bytes.subarray(-32))
  })

  it('reports how far verifying came', async () => {
    const { bytes, opening } = await sealed(2 * S + 9)
    const progress: [number, number][] = []
    const onProgress = (done: number, total: number) => void progress.push([done, total])
    await verifyObject(bufferReader(bytes), { ...opening, onProgress })
    expect(progress.map(([done]) => done)).toEqual([416 + S + 32, 416 + 2 * (S + 32), bytes.length])
    expect(progress.every(([, total]) => total === bytes.length)).toBe(true)
  })
})

import { createHash, createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { RESERVED_NONCE } from '../src/reserved-nonce.js'
import { createSealer } from '../src/seal.js'
import { freshNonces } from '../src/nonce.js'
import { isWellFormedDerivation } from '../src/derivation.js'
import { knownAnswerMessages, knownAnswerOf } from '../src/known-answer.js'
import { unwrapNonces, wrapNonces } from '../src/nonce-record.js'
import type { MasterKeyRef } from '../src/terms.js'
import { AT, parseHeader } from '../src/header.js'
import { ATTEMPT, MASTERS, codeOf } from './fixtures.js'
import { SoftwareHsm } from './software-hsm.js'

const key = (role: MasterKeyRef['role'], suite: 1 | 2 = 1): MasterKeyRef => {
  return { role, domain: 'default', suite, version: 7 }
}
const sealing = { ...ATTEMPT, attemptNo: 1, kekVersion: 0, segLog2: 16, createdMs: 0, context: Buffer.alloc(0) }

describe('the reserved nonce', () => {
  it('is what the format says', () => {
    expect(RESERVED_NONCE).toEqual(createHash('sha256').update('SFV1/known-nonce').digest())
    const text = readFileSync(new URL('../../../docs/design/format.md', import.meta.url), 'utf8')
    expect(text).toContain(Buffer.from(RESERVED_NONCE).toString('hex'))
  })

  it.each(['nonceEnc', 'nonceSig'] as const)(
    'is refused as %s: by sealers, readers and wrapped records',
    async (which) => {
      const hsm = new SoftwareHsm(MASTERS)
      const reserved = { ...sealing, [which]: RESERVED_NONCE }
      await expect(createSealer(reserved, hsm)).rejects.toThrow('reserved')
      await expect(wrapNonces(hsm, 1, ATTEMPT, reserved)).rejects.toThrow('reserved')
      expect(hsm.calls).toEqual([])
      using sealer = await createSealer(sealing, hsm)
      const header = Buffer.from(sealer.header)
      header.set(RESERVED_NONCE, AT[which])
      expect(() => parseHeader(header)).toThrow(expect.objectContaining({ code: 'E_FORMAT' }))
      const forger = { ...hsm, unwrap: () => Promise.resolve(Buffer.concat([reserved.nonceEnc, reserved.nonceSig])) }
      const unwrapper = { wrap: () => Promise.reject(new Error('unused')), unwrap: forger.unwrap }
      expect(await codeOf(unwrapNonces(unwrapper, 1, ATTEMPT, Buffer.alloc(92)))).toBe('E_NONCE_UNWRAP')
    },
  )

  it('is refused from a random source', () => {
    expect(() => freshNonces((target) => target.set(RESERVED_NONCE))).toThrow('random source')
  })

  it('is no derivation for the interface to the HSM, under either suite', () => {
    for (const ref of [key('enc'), key('sig'), key('enc', 2), key('sig', 2)]) {
      for (const message of knownAnswerMessages(ref)) {
        expect(isWellFormedDerivation(ref, message)).toBe(false)
        const other = Buffer.from(message)
        // Its first byte: 106 bytes of suite 2 have the nonce before the last four.
        other.writeUInt8(1, message.length === 32 ? 0 : 70)
        expect(isWellFormedDerivation(ref, other)).toBe(true)
      }
    }
  })
})

describe('known answers', () => {
  it.each([
    ['enc', 1, [32]],
    ['sig', 1, [32]],
    ['enc', 2, [106, 106]],
    ['sig', 2, [106]],
    ['audit', 1, [48]],
    ['kek', 1, []],
  ] as const)('of %s under suite %i: inputs of %j bytes', (role, suite, lengths) => {
    expect(knownAnswerMessages(key(role, suite)).map(({ length }) => length)).toEqual(lengths)
  })

  it('are a digest of the outputs under a label of its own', () => {
    const output = createHmac('sha256', MASTERS.enc).update(RESERVED_NONCE).digest()
    const label = Buffer.alloc(16)
    label.write('SFV1/known-hash')
    expect(knownAnswerOf([output])).toEqual(createHash('sha256').update(label).update(output).digest())
  })
})

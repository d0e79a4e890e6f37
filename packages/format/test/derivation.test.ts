import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { MasterKeyRef } from '../src/terms.js'
import { isWellFormedDerivation } from '../src/derivation.js'
import { deriveDataKey, deriveSigningKey, derivationMessages, masterKeyOf } from '../src/derivation.js'
import { ATTEMPT, FILE_ID, MASTERS, flipBit } from './fixtures.js'
import { SoftwareHsm } from './software-hsm.js'

const SUITE_2 = { ...ATTEMPT, suite: 2, keyDomain: FILE_ID } as const

describe('messages', () => {
  it('suite 1: the nonce, nothing else, in one HSM call a key', async () => {
    const hsm = new SoftwareHsm(MASTERS)
    const dataKey = await deriveDataKey(hsm, ATTEMPT)
    const signingKey = await deriveSigningKey(hsm, ATTEMPT)
    expect(hsm.calls.map(({ key, message }) => [key.role, key.version, message.toString('hex')])).toEqual([
      ['enc', 7, 'a5'.repeat(32)],
      ['sig', 3, '5a'.repeat(32)],
    ])
    expect(dataKey).toEqual(createHmac('sha256', MASTERS.enc).update(ATTEMPT.nonceEnc).digest())
    expect(signingKey).toEqual(createHmac('sha256', MASTERS.sig).update(ATTEMPT.nonceSig).digest())
  })

  it('suite 2: SP 800-108 in counter mode, byte by byte', async () => {
    const hsm = new SoftwareHsm(MASTERS)
    const dataKey = await deriveDataKey(hsm, SUITE_2)
    const signingKey = await deriveSigningKey(hsm, SUITE_2)
    const id = '0190b3c000007000800000000000000'
    const middle = (label: string, version: string, nonce: string) =>
      `${Buffer.from(label).toString('hex')}000002${id}1${id}2${version}${id}1${nonce.repeat(32)}`
    const enc = middle('SFV1/S2/ENC', '00000007', 'a5')
    expect(hsm.calls.map(({ message }) => message.toString('hex'))).toEqual([
      `00000001${enc}00000180`,
      `00000002${enc}00000180`,
      `00000001${middle('SFV1/S2/SIG', '00000003', '5a')}00000100`,
    ])
    const blocks = hsm.calls.map(({ key, message }) =>
      createHmac('sha256', key.role === 'enc' ? MASTERS.enc : MASTERS.sig)
        .update(message)
        .digest(),
    )
    expect(dataKey).toEqual(Buffer.concat(blocks.slice(0, 2)).subarray(0, 48))
    expect(signingKey).toEqual(blocks[2])
  })

  it('refuses nonces that no sealer uses, and outputs that are no HMAC', async () => {
    const hsm = new SoftwareHsm(MASTERS)
    await expect(deriveDataKey(hsm, { ...ATTEMPT, nonceEnc: Buffer.alloc(32) })).rejects.toThrow(TypeError)
    await expect(deriveSigningKey(hsm, { ...ATTEMPT, nonceSig: ATTEMPT.nonceEnc })).rejects.toThrow(TypeError)
    const short = { hmac: () => Promise.resolve(Buffer.alloc(31, 1)) }
    await expect(deriveDataKey(short, ATTEMPT)).rejects.toThrow('31 bytes')
  })

  it('wipes what came when another call fails', async () => {
    const outputs: Uint8Array[] = []
    const half = {
      hmac: (_: MasterKeyRef, message: Uint8Array) => {
        if (message[3] === 2) return Promise.reject(new Error('HSM gone'))
        const output = Buffer.alloc(32, 0x77)
        outputs.push(output)
        return Promise.resolve(output)
      },
    }
    await expect(deriveDataKey(half, SUITE_2)).rejects.toThrow('HSM gone')
    expect(outputs).toEqual([Buffer.alloc(32)])
  })
})

describe('isWellFormedDerivation', () => {
  const key = (role: MasterKeyRef['role'], suite: 1 | 2, version = role === 'enc' ? 7 : 3): MasterKeyRef => {
    return { role, suite, version, domain: suite === 2 ? FILE_ID : 'default' }
  }

  it.each([
    [32, true],
    [0, false],
    [31, false],
    [33, false],
    [11, false],
    [106, false],
  ])('suite 1, %i bytes: %s', (length, allowed) => {
    expect(isWellFormedDerivation(key('enc', 1), Buffer.alloc(length, 1))).toBe(allowed)
    expect(isWellFormedDerivation(key('sig', 1), Buffer.alloc(length, 1))).toBe(allowed)
  })

  it('suite 2: what derivation sends', () => {
    for (const role of ['enc', 'sig'] as const) {
      for (const message of derivationMessages(SUITE_2, role)) {
        expect(isWellFormedDerivation(masterKeyOf(SUITE_2, role), message)).toBe(true)
      }
    }
  })

  it('suite 2: no other role, version, domain or length', () => {
    const [message = Buffer.alloc(0)] = derivationMessages(SUITE_2, 'enc')
    expect(message).toHaveLength(106)
    expect(isWellFormedDerivation(key('sig', 2, 7), message)).toBe(false)
    expect(isWellFormedDerivation(key('enc', 2, 8), message)).toBe(false)
    expect(isWellFormedDerivation({ ...key('enc', 2), domain: 'default' }, message)).toBe(false)
    expect(isWellFormedDerivation(key('enc', 2), message.subarray(1))).toBe(false)
    expect(isWellFormedDerivation(key('enc', 2), Buffer.alloc(32, 1))).toBe(false)
    expect(isWellFormedDerivation(key('enc', 1), message)).toBe(false)
  })

  it('suite 2: every bit but those of the ids and the nonce is as it must be', () => {
    const free = new Set<number>()
    for (let at = 18; at < 50; at++) free.add(at)
    for (let at = 70; at < 102; at++) free.add(at)
    const [, message = Buffer.alloc(0)] = derivationMessages(SUITE_2, 'enc')
    for (let bit = 0; bit < 8 * 106; bit++) {
      // Block 2 with its lowest two bits flipped in turn is block 3 and block 0: both refused.
      expect(isWellFormedDerivation(key('enc', 2), flipBit(message, bit)), `bit ${bit}`).toBe(free.has(bit >> 3))
    }
  })

  it('no other role derives anything', () => {
    for (const role of ['kek', 'audit'] as const) {
      expect(isWellFormedDerivation(key(role, 1), Buffer.alloc(32, 1))).toBe(false)
    }
  })
})

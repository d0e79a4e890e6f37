import { randomBytes } from 'node:crypto'

import { knownAnswerMessages } from '@sealfleet/format'
import { Faulty, freshToken, type FreshToken } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import { openKeyAdmin, type KeyEvidence } from '../src/admin/key-admin.js'
import type { HsmPool } from '../src/pool/hsm-pool.js'
import type { MasterKeyRef } from '../src/contract.js'
import type { TokenOptions } from '../src/options.js'
import { ENC, KEK, ObservedPool, SIG, tokenOptions } from './helpers.js'

const ENC2: MasterKeyRef = { role: 'enc', domain: 'default', suite: 2, version: 2 }
const AAD = Buffer.alloc(74)
AAD.write('SFV1/nonces')

/** Shapes of an answer that comes with CKR_OK. Check values, of 11 bytes, stay right in all of them. */
const SHAPES: readonly [string, string][] = [
  ['zeros', 'zero'],
  ['the same bytes', 'constant'],
  ['a counter', 'ascending'],
  ['equal halves', 'halves'],
  ['a block that repeats', 'repeat'],
  ['one bit of each byte', 'narrow'],
  ['its input', 'echo'],
]

describe('an HSM that answers nonsense with CKR_OK', () => {
  let token: FreshToken
  let faulty: Faulty<TokenOptions>
  const made = new Map<string, KeyEvidence>()

  beforeAll(async () => {
    token = await freshToken()
    faulty = await Faulty.over(tokenOptions(token))
    await using admin = await openKeyAdmin(tokenOptions(token))
    for (const ref of [ENC, SIG, ENC2, KEK]) made.set(JSON.stringify(ref), await admin.generate(ref))
  })
  afterEach(() => faulty.rules())
  afterAll(async () => {
    await faulty?.[Symbol.asyncDispose]()
    await token?.[Symbol.asyncDispose]()
  })

  const evidenceOf = (ref: MasterKeyRef): KeyEvidence => made.get(JSON.stringify(ref)) as KeyEvidence
  const bytesOf = (hex: string | null): Buffer => Buffer.from(hex ?? '', 'hex')

  /** As a worker tells its pool; without known answers as of versions that were registered before there were any. */
  function expectKeys(pool: HsmPool, withAnswers: boolean): void {
    for (const ref of [ENC, SIG, ENC2]) {
      const { kcv, answer } = evidenceOf(ref)
      pool.expectCheckValue(ref, bytesOf(kcv), withAnswers ? bytesOf(answer) : null)
    }
    pool.expectKekRecord(KEK, bytesOf(evidenceOf(KEK).record))
  }

  /** One pair of keys after the other, as sealing does it; the codes of what failed. */
  async function seal(pool: HsmPool, files: number): Promise<{ sealed: number; codes: ReadonlySet<unknown> }> {
    const sealing = pool.confirmed()
    const codes = new Set<unknown>()
    let sealed = 0
    for (let i = 0; i < files; i += 1) {
      const pair = await Promise.allSettled([sealing.hmac(ENC, randomBytes(32)), sealing.hmac(SIG, randomBytes(32))])
      for (const half of pair) if (half.status === 'rejected') codes.add((half.reason as { code?: unknown }).code)
      if (pair.every(({ status }) => status === 'fulfilled')) sealed += 1
    }
    return { sealed, codes }
  }

  describe('to inputs of nonce shape only', () => {
    let observed: ObservedPool
    let legacy: ObservedPool
    beforeAll(async () => {
      observed = await ObservedPool.open(faulty.token, { sessions: 2 })
      legacy = await ObservedPool.open(faulty.token, { sessions: 2 })
      for (const one of [observed, legacy]) await one.allReady()
      expectKeys(observed.pool, true)
      expectKeys(legacy.pool, false)
    })
    afterAll(async () => {
      await observed?.[Symbol.asyncDispose]()
      await legacy?.[Symbol.asyncDispose]()
    })

    it.each([...SHAPES, ['one bit flipped alike in every derivation', 'flip'] as const])(
      '%s: refused as KEY_MISMATCH before anything is sealed, seen by the probe, and well again by itself',
      async (_name, shape) => {
        const { pool } = observed
        await faulty.rules(`C_Sign ${shape} input=32`)
        expect(await pool.keyCheckValue(ENC2)).toEqual(bytesOf(evidenceOf(ENC2).kcv))
        expect(await seal(pool, 50)).toEqual({ sealed: 0, codes: new Set(['KEY_MISMATCH']) })
        const states = Object.fromEntries((await pool.probe()).keys.map(({ label, state }) => [label, state]))
        expect(states).toMatchObject({
          'sealfleet/default/enc/s1/1': 'mismatch',
          'sealfleet/default/sig/s1/1': 'mismatch',
          'sealfleet/default/enc/s2/2': 'ok',
        })
        await faulty.rules()
        expect(await seal(pool, 2)).toEqual({ sealed: 2, codes: new Set() })
        observed.expectHealedBy({}, 2)
      },
    )

    it.each(SHAPES)('%s, of versions without a known answer: the guard refuses it', async (_name, shape) => {
      await faulty.rules(`C_Sign ${shape} input=32`)
      expect(await seal(legacy.pool, 50)).toEqual({ sealed: 0, codes: new Set(['KEY_MISMATCH']) })
      await faulty.rules()
      expect(await seal(legacy.pool, 2)).toEqual({ sealed: 2, codes: new Set() })
      legacy.expectHealedBy({}, 2)
    })

    it('a suite 2 key has a known answer of its own shape', async () => {
      await faulty.rules('C_Sign flip input=106')
      const sealing = observed.pool.confirmed()
      const [message = Buffer.alloc(0)] = knownAnswerMessages(ENC2)
      // Another nonce than the reserved one.
      const other = Buffer.from(message)
      other.fill(7, 70, 102)
      await expect(sealing.hmac(ENC2, other)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
      await expect(sealing.hmac(ENC2, message)).rejects.toThrow(TypeError)
      await faulty.rules()
      await sealing.hmac(ENC2, other)
    })

    it('the pool gives the known answer that was registered, from both agents', async () => {
      for (const ref of [ENC, SIG, ENC2]) {
        expect(await observed.pool.knownAnswer(ref)).toEqual(bytesOf(evidenceOf(ref).answer))
      }
    })

    it('a KEK whose encryption hands out its input, or whose opening does: refused, and seen by the probe', async () => {
      const { pool } = observed
      const sealing = pool.confirmed()
      const nonces = randomBytes(64)
      await faulty.rules('C_Encrypt echo', 'C_Decrypt echo')
      await expect(sealing.wrap(KEK, nonces, AAD)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
      const { keys } = await pool.probe()
      expect(keys).toContainEqual(expect.objectContaining({ label: 'sealfleet/default/kek/1', state: 'mismatch' }))
      await faulty.rules()
      expect(await sealing.unwrap(KEK, await sealing.wrap(KEK, nonces, AAD), AAD)).toEqual(nonces)
      observed.expectHealedBy({}, 2)
    })
  })

  it('the answer to the input before: never handed out', async () => {
    await using observed = await ObservedPool.open(faulty.token, { sessions: 2, restartIntervalMs: 200 })
    await observed.allReady()
    expectKeys(observed.pool, true)
    await faulty.rules('C_Sign previous')
    const { sealed, codes } = await seal(observed.pool, 2)
    expect(sealed).toBe(0)
    for (const code of codes) expect(['KEY_MISMATCH', 'HSM_UNAVAILABLE', 'HSM_SESSION_LOST']).toContain(code)
  })

  describe('when keys are made', () => {
    const fresh = (role: MasterKeyRef['role'], version: number): MasterKeyRef => {
      return { role, domain: 'default', suite: 1, version }
    }

    it.each<[string, MasterKeyRef, string]>([
      ['zeros for a check value', fresh('enc', 12), 'C_Sign zero input=11'],
      ['zeros to nonces', fresh('enc', 13), 'C_Sign zero input=32'],
      ['zeros for an audit message', fresh('audit', 11), 'C_Sign zero input=48'],
      ['another answer in another process', fresh('sig', 11), 'C_Sign flip input=32 count=1'],
      ['plaintext, and opens it by doing nothing', fresh('kek', 12), 'C_Encrypt echo;C_Decrypt echo'],
    ])('%s: nothing is registered and the key is destroyed again', async (_name, ref, rules) => {
      await using admin = await openKeyAdmin(faulty.token)
      await faulty.rules(...rules.split(';'))
      await expect(admin.generate(ref)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
      await faulty.rules()
      expect((await admin.list()).filter((key) => key.ref.version === ref.version)).toEqual([])
    })

    it('an existing key handed out as the new one: refused, and that key is left as it is', async () => {
      await using admin = await openKeyAdmin(faulty.token)
      const before = await admin.list()
      for (const rule of ['C_GenerateKey existing', 'C_GenerateKey existing skip=1']) {
        await faulty.rules(rule)
        await expect(admin.generate(fresh('enc', 21))).rejects.toMatchObject({ code: 'HSM_ACCESS_DENIED' })
      }
      await faulty.rules()
      expect(await admin.list()).toEqual(before)
    })
  })
})

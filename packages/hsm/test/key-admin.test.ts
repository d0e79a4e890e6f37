import { createHmac, randomBytes } from 'node:crypto'

import type { FreshToken } from '@sealfleet/testkit'
import { freshToken } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { HsmPool } from '../src/pool/hsm-pool.js'
import { openKeyAdmin, type KeyAdmin } from '../src/admin/key-admin.js'
import { ENC, KEK, SIG, tokenOptions } from './helpers.js'
import { plantKey } from './plant-key.js'

describe('key administration on SoftHSM', () => {
  let token: FreshToken
  let admin: KeyAdmin

  beforeAll(async () => {
    token = await freshToken()
    admin = await openKeyAdmin(tokenOptions(token))
  })

  afterAll(async () => {
    await admin.close()
    await token[Symbol.asyncDispose]()
  })

  it('makes a signing master that can sign and nothing else, and proves it', async () => {
    const evidence = await admin.generate(ENC)
    expect(evidence.ref).toEqual(ENC)
    expect(evidence.label).toBe('sealfleet/default/enc/s1/1')
    expect(evidence.ckaId).toMatch(/^[0-9a-f]{32}$/)
    expect(evidence.kcv).toMatch(/^[0-9a-f]{16}$/)
    expect(evidence.problems).toEqual([])
    expect(evidence.attributes).toMatchObject({
      TOKEN: true,
      PRIVATE: true,
      SENSITIVE: true,
      ALWAYS_SENSITIVE: true,
      EXTRACTABLE: false,
      NEVER_EXTRACTABLE: true,
      MODIFIABLE: false,
      LOCAL: true,
      VALUE_LEN: 32,
      SIGN: true,
      VERIFY: false,
      ENCRYPT: false,
      DECRYPT: false,
      WRAP: false,
      UNWRAP: false,
      DERIVE: false,
      ALLOWED_MECHANISMS: [0x251],
    })
    expect(evidence.refusals).toMatchObject({
      readValue: { refused: true, answer: 'CKR_ATTRIBUTE_SENSITIVE (0x11)' },
      makeExtractable: { refused: true },
      makeInsensitive: { refused: true },
    })
    expect(evidence.refusals.wrap.map(({ mechanism }) => mechanism)).toContain('CKM_AES_KEY_WRAP')
    for (const wrap of evidence.refusals.wrap) expect(wrap.refused).toBe(true)
    expect(evidence.token).toMatchObject({ label: token.label, model: 'SoftHSM v2' })
  })

  it('has a check value that the pool computes too, and that is not the token’s own', async () => {
    const fromAdmin = await admin.checkValue(ENC)
    await using pool = await HsmPool.open({ tokens: [tokenOptions(token)], agents: 1 })
    expect((await pool.keyCheckValue(ENC)).equals(fromAdmin)).toBe(true)
    const [listed] = (await admin.list()).filter(({ label }) => label === 'sealfleet/default/enc/s1/1')
    expect(listed?.kcv).toBe(fromAdmin.toString('hex'))
  })

  it('refuses a second key under the same label', async () => {
    await expect(admin.generate(ENC)).rejects.toMatchObject({ code: 'KEY_EXISTS' })
    await using other = await openKeyAdmin(tokenOptions(token))
    await expect(other.generate(ENC)).rejects.toMatchObject({ code: 'KEY_EXISTS' })
    expect((await admin.list()).filter(({ label }) => label === 'sealfleet/default/enc/s1/1')).toHaveLength(1)
  })

  it('leaves at most one key when two operators make the same one at once', async () => {
    const contested = { ...SIG, version: 40 }
    await using other = await openKeyAdmin(tokenOptions(token))
    const outcomes = await Promise.allSettled([admin.generate(contested), other.generate(contested)])
    const made = outcomes.filter(({ status }) => status === 'fulfilled').length
    await using fresh = await openKeyAdmin(tokenOptions(token))
    const listed = (await fresh.list()).filter(({ ref }) => ref.version === 40)
    expect(listed).toHaveLength(made)
    expect(made).toBeLessThanOrEqual(1)
  })

  it('makes a KEK that encrypts and decrypts and nothing else, with a record only it opens', async () => {
    const evidence = await admin.generate(KEK)
    expect(evidence).toMatchObject({ kcv: null, problems: [] })
    expect(evidence.attributes).toMatchObject({ ENCRYPT: true, DECRYPT: true, WRAP: false, UNWRAP: false, SIGN: false })
    const record = Buffer.from(evidence.record ?? '', 'hex')
    expect(record).toHaveLength(92)
    await expect(admin.checkKekRecord(KEK, record)).resolves.toBeUndefined()
    const changed = Buffer.from(record)
    changed[30] = (changed[30] ?? 0) ^ 1
    await expect(admin.checkKekRecord(KEK, changed)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
    await admin.generate({ ...KEK, version: 2 })
    const ofAnother = await admin.makeKekRecord({ domain: 'default', version: 2 })
    await expect(admin.checkKekRecord(KEK, ofAnother)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
  })

  it('lets a pool use a KEK only when it opens the record registered with it', async () => {
    const record = await admin.makeKekRecord(KEK)
    const aad = Buffer.alloc(74)
    aad.write('SFV1/nonces')
    await using pool = await HsmPool.open({ tokens: [tokenOptions(token)], agents: 1 })
    pool.expectKekRecord(KEK, record)
    await expect(pool.wrap(KEK, randomBytes(64), aad)).resolves.toHaveLength(92)
    pool.expectKekRecord({ domain: 'default', version: 2 }, record)
    await expect(pool.wrap({ domain: 'default', version: 2 }, randomBytes(64), aad)).rejects.toMatchObject({
      code: 'KEY_MISMATCH',
    })
    expect((await pool.probe()).keys).toMatchObject([{ state: 'ok' }, { state: 'mismatch' }])
  })

  it('makes an audit key, which signs labelled messages only', async () => {
    const audit = { role: 'audit', domain: 'default', suite: 1, version: 1 } as const
    const { label } = await admin.generate(audit)
    expect(label).toBe('sealfleet/audit/1')
    await using pool = await HsmPool.open({ tokens: [tokenOptions(token)], agents: 1 })
    const message = Buffer.concat([Buffer.from('SFV1/audit-point'), randomBytes(40)])
    await expect(pool.hmac(audit, message)).resolves.toHaveLength(32)
    await expect(pool.hmac(audit, randomBytes(56))).rejects.toBeInstanceOf(TypeError)
  })

  it('destroys one key, and knows nothing of it afterwards', async () => {
    const doomed = { ...ENC, version: 50 }
    await admin.generate(doomed)
    await expect(admin.destroy(doomed)).resolves.toEqual({ confirmed: true })
    await expect(admin.checkValue(doomed)).rejects.toMatchObject({ code: 'E_KEY_UNKNOWN' })
    await expect(admin.destroy(doomed)).rejects.toMatchObject({ code: 'E_KEY_UNKNOWN' })
  })

  it('says what the token is and can do', async () => {
    await expect(admin.tokenInfo()).resolves.toMatchObject({
      token: { label: token.label },
      mechanisms: { hmac: true, gcm: true },
    })
  })

  it('refuses names that are not ours without asking the token', async () => {
    await expect(admin.generate({ ...ENC, domain: 'Default' })).rejects.toBeInstanceOf(TypeError)
    await expect(admin.checkValue(KEK)).rejects.toBeInstanceOf(TypeError)
  })

  it('uses HMAC-SHA-256 and no other function, as a planted key of known value shows', async () => {
    const value = randomBytes(32)
    await plantKey(token, 'sealfleet/default/sig/s1/90', value)
    await using pool = await HsmPool.open({ tokens: [tokenOptions(token)], agents: 1 })
    const ref = { ...SIG, version: 90 }
    const message = randomBytes(32)
    const expected = createHmac('sha256', value).update(message).digest()
    expect((await pool.hmac(ref, message)).equals(expected)).toBe(true)
    const kcv = createHmac('sha256', value).update('SFV1-KCV-v1').digest().subarray(0, 8)
    expect((await pool.keyCheckValue(ref)).equals(kcv)).toBe(true)
  })
})

import { Faulty, type FreshToken } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import type { ErrorClass, VendorName } from '../src/errors/classes.js'
import { classifyCkr, profileOf } from '../src/errors/classify.js'
import { VENDORS } from '../src/errors/table.js'
import { HsmPool } from '../src/pool/hsm-pool.js'
import { memoryPinLockout } from '../src/pool/pin-lockout.js'
import { openKeyAdmin } from '../src/admin/key-admin.js'
import type { TokenOptions } from '../src/options.js'
import { ENC, knownAnswers, ObservedPool, tokenOptions, tokenWithKeys } from './helpers.js'

/** By number, from the vendors' documents: what the table in src must say. `n` of Luna is CKR_VENDOR_DEFINED + n. */
const ROWS: readonly (readonly [VendorName, ErrorClass, readonly number[], fn?: string])[] = [
  ['opencryptoki', 'recycle', [0x8001_0001, 0x8001_0009]],
  ['opencryptoki', 'retry', [0x8001_0002, 0x8001_0003, 0x8001_000a, 0x8001_000b, 0x8001_0010]],
  ['opencryptoki', 'configuration', [0x8001_000c, 0x8001_000d]],
  ['nss', 'recycle', [0xce53_4351, 0xce53_4352]],
  ['aws-cloudhsm', 'retry', [0x06, 0x90]],
  ['aws-cloudhsm', 'retry', [0x30], 'C_GetAttributeValue'],
  ['luna', 'recycle', [0x05, 0x0c, 0x1f, 0x23, 0x24, 0x2b, 0x4f, 0x50, 0x53, 0x55, 0x56, 0x57, 0x58].map(luna)],
  ['luna', 'login', [0x07, 0x67].map(luna)],
  ['luna', 'rebind', [0x1a].map(luna)],
  ['luna', 'retry', [0x41].map(luna)],
  ['luna', 'session', [0x78].map(luna)],
  [
    'luna',
    'configuration',
    [0x1b, 0x20, 0x26, 0x2a, 0x2c, 0x2d, 0x2e, 0x30, 0x31, 0x35, 0x6e, 0x76, 0x8d, 0x136].map(luna),
  ],
  ['nshield', 'configuration', [0x8000_0054, 0x8000_0070, 0x8000_00d1, 0x8000_00e0]],
  ['yubihsm2', 'configuration', [0x31, 0x200]],
  ['yubihsm2', 'recycle', [0x40]],
]

function luna(n: number): number {
  return 0x8000_0000 + n
}

function rowsOf(vendor: VendorName) {
  return VENDORS.find(({ name }) => name === vendor)?.rows ?? []
}

const CASES = ROWS.flatMap(([vendor, name, codes, fn]) => codes.map((code) => ({ vendor, name, code, fn })))

describe('the vendors’ rows of the error table', () => {
  it.each(CASES)('$vendor: $code is $name', ({ vendor, name, code, fn }) => {
    expect(classifyCkr(code, fn ?? 'C_Sign', rowsOf(vendor))).toBe(name)
  })

  it('has a case here for every row, and no two rows for one code', () => {
    const keys = VENDORS.flatMap(({ name, rows }) => rows.map(({ code, fn }) => `${name} ${code} ${fn ?? ''}`))
    expect(new Set(keys).size).toBe(keys.length)
    expect(new Set(CASES.map(({ vendor, code, fn }) => `${vendor} ${code} ${fn ?? ''}`))).toEqual(new Set(keys))
  })

  it('means a code in its vendor’s words only', () => {
    expect(classifyCkr(0x8000_0067, 'C_Login')).toBe('general')
    expect(classifyCkr(0x8000_0070, 'C_Sign', rowsOf('luna'))).toBe('general')
    expect(classifyCkr(0x31, 'C_Sign')).toBe('retry')
    expect(classifyCkr(0x30, 'C_Sign', rowsOf('aws-cloudhsm'))).toBe('recycle')
    expect(classifyCkr(0x05, 'C_Decrypt', rowsOf('softhsm'))).toBe('data')
  })

  it.each<[VendorName | undefined, { manufacturer: string; model?: string; module?: string }]>([
    ['softhsm', { manufacturer: 'SoftHSM project', model: 'SoftHSM v2' }],
    ['opencryptoki', { manufacturer: 'IBM', model: 'IBM SoftTok' }],
    ['opencryptoki', { manufacturer: 'IBM Corp.', model: 'EP11' }],
    ['nss', { manufacturer: 'Mozilla Foundation', model: 'NSS 3' }],
    ['aws-cloudhsm', { manufacturer: 'Marvell Semiconductors, Inc.', model: 'NITROX-III CNN35XX-NFBE' }],
    ['aws-cloudhsm', { manufacturer: '', module: 'AWS CloudHSM PKCS#11' }],
    ['luna', { manufacturer: 'Safenet, Inc.', module: 'Chrystoki' }],
    ['nshield', { manufacturer: 'nCipher Corp. Ltd' }],
    ['yubihsm2', { manufacturer: 'Yubico (www.yubico.com)', model: 'YubiHSM' }],
    [undefined, { manufacturer: 'Yubico (www.yubico.com)', model: 'YubiKey YK5' }],
    [undefined, { manufacturer: 'SafeNet, Inc.', model: 'eToken', module: 'SafeNet eToken PKCS#11' }],
    [undefined, { manufacturer: '' }],
  ])('chooses %s by %j', (vendor, { manufacturer, model = '', module = '' }) => {
    expect(profileOf({ manufacturer, model, module })?.name).toBe(vendor)
  })

  it('says of every profile where it is from, and which were tried', () => {
    for (const { source, notes } of VENDORS) expect([source.length > 20, notes.length > 0]).toEqual([true, true])
    const tried = VENDORS.filter((vendor) => vendor.tried).map(({ name }) => name)
    expect(tried).toEqual(['softhsm', 'opencryptoki', 'nss'])
  })
})

/** SoftHSM under another vendor's name, behind the fault module: the profile at work in a real agent. */
describe('a vendor’s profile in the agent', () => {
  let token: FreshToken
  let faulty: Faulty<TokenOptions>

  beforeAll(async () => {
    token = await tokenWithKeys(ENC)
    faulty = await Faulty.over(tokenOptions(token))
  })

  afterEach(async () => {
    await faulty.rules()
  })

  afterAll(async () => {
    await faulty[Symbol.asyncDispose]()
    await token[Symbol.asyncDispose]()
  })

  const LUNA = { library: 'Chrystoki', manufacturer: 'Safenet, Inc.' }
  const CLOUDHSM = { library: 'AWS CloudHSM PKCS#11', manufacturer: 'Marvell Semiconductors, Inc.' }

  it('Luna’s CHALLENGE_INCORRECT is a rejected PIN: one C_Login, locked out; without the profile it is tried again', async () => {
    const before = await faulty.calls('C_Login')
    await faulty.rules('C_Login return 0x80000067')
    const lockout = memoryPinLockout()
    const open = () => HsmPool.open({ tokens: [faulty.as(LUNA)], agents: 1, lockout })
    await expect(open()).rejects.toMatchObject({ code: 'HSM_ACCESS_DENIED', ckr: 0x8000_0067 })
    await expect(open()).rejects.toMatchObject({ code: 'HSM_ACCESS_DENIED' })
    expect((await faulty.calls('C_Login')) - before).toBe(1)
    await expect(HsmPool.open({ tokens: [faulty.token], agents: 1 })).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
    expect((await faulty.calls('C_Login')) - before).toBe(3)
  })

  it('CloudHSM gets read-write sessions, is retried while busy, and is not asked to wrap nonces', async () => {
    await faulty.rules('C_OpenSession readonly 0x6', 'C_SignInit return 0x90 skip=4 count=2')
    await using observed = await ObservedPool.open(faulty.as(CLOUDHSM), { agents: 1 })
    const answers = await knownAnswers(observed.pool, ENC, 4)
    expect(answers.size).toBe(4)
    observed.expectHealedBy({}, 1)
    const { sessionsReplaced, errors } = observed.pool.stats()
    expect({ sessionsReplaced, errors }).toEqual({ sessionsReplaced: 0, errors: { 'C_SignInit:0x90': 2 } })
    await using admin = await openKeyAdmin(faulty.as(CLOUDHSM))
    expect((await admin.tokenInfo()).mechanisms).toEqual({ hmac: true, gcm: false })
    await expect(HsmPool.open({ tokens: [faulty.token], agents: 1 })).rejects.toMatchObject({ ckr: 6 })
  })

  it('nShield is asked for a key of its own HMAC mechanism, which SoftHSM does not know', async () => {
    await using admin = await openKeyAdmin(faulty.as({ manufacturer: 'nCipher Corp. Ltd' }))
    const generated = admin.generate({ ...ENC, version: 2 })
    await expect(generated).rejects.toMatchObject({ code: 'HSM_ACCESS_DENIED', ckr: 0x70, fn: 'C_GenerateKey' })
  })
})

import { keyLabel, type MasterKeyRef } from '@sealfleet/format'
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  activateMasterKey,
  activeKeys,
  getMasterKey,
  listMasterKeys,
  registerMasterKey,
} from '../src/keys/master-keys.js'
import { ensureDomain, listDomains } from '../src/fleet/domains.js'
import { addKey, openFixture, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

async function newDomain(policy: { nonceMode?: 'detached'; lossAcknowledged?: boolean } = {}): Promise<string> {
  const id = randomUUID()
  await ensureDomain(f.records, { id, ...policy })
  return id
}

function ref(domain: string, role: MasterKeyRef['role'], version: number, suite: 1 | 2 = 1): MasterKeyRef {
  return { domain, role, suite, version }
}

describe('domains', () => {
  test('are made once, and found again with the same policy', async () => {
    const id = randomUUID()
    const made = await ensureDomain(f.records, { id, name: `tenant ${id}`, suite: 2, segLog2: 16 })
    expect(made).toEqual({
      created: true,
      domain: {
        ...{ id, name: `tenant ${id}`, suite: 2, nonceMode: 'inline', segLog2: 16 },
        ...{ rotationDays: null, retentionDays: null },
      },
    })
    expect(await ensureDomain(f.records, { id })).toEqual({ ...made, created: false })
    expect(await listDomains(f.records)).toContainEqual(made.domain)
  })

  test('are not made over with another policy', async () => {
    const id = await newDomain()
    for (const over of [
      { suite: 2 as const },
      { segLog2: 21 },
      { nonceMode: 'detached' as const, lossAcknowledged: true },
    ])
      await expect(ensureDomain(f.records, { id, ...over })).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  test('take detached nonces only from who acknowledged what that means', async () => {
    const id = randomUUID()
    await expect(ensureDomain(f.records, { id, nonceMode: 'detached' })).rejects.toMatchObject({
      code: 'INVALID',
      constraint: 'key_domains_loss_acknowledged',
    })
    const { domain } = await ensureDomain(f.records, { id, nonceMode: 'detached', lossAcknowledged: true })
    expect(domain.nonceMode).toBe('detached')
  })
})

describe('registration', () => {
  test('is idempotent for the same key, and refuses another under its name', async () => {
    const domain = await newDomain()
    const input = {
      ref: ref(domain, 'enc', 1),
      checkValue: randomBytes(8),
      evidence: { serial: '1', extractable: false },
    }
    const { created, key } = await registerMasterKey(f.records, input)
    expect(created).toBe(true)
    expect(key).toMatchObject({
      ...input.ref,
      state: 'PENDING',
      label: `sealfleet/${domain}/enc/s1/1`,
      evidence: input.evidence,
      activatedAt: null,
    })
    expect(key.checkValue?.equals(input.checkValue)).toBe(true)
    expect(await registerMasterKey(f.records, input)).toEqual({ created: false, key })
    for (const other of [
      { ...input, checkValue: randomBytes(8) },
      { ref: ref(domain, 'enc', 1, 2), checkValue: input.checkValue },
    ])
      await expect(registerMasterKey(f.records, other)).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  test('in an unknown domain is refused', async () => {
    const input = { ref: ref(randomUUID(), 'enc', 1), checkValue: randomBytes(8) }
    await expect(registerMasterKey(f.records, input)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test.each<[MasterKeyRef, string]>([
    [ref('default', 'enc', 3), 'sealfleet/default/enc/s1/3'],
    [ref('default', 'sig', 3, 2), 'sealfleet/default/sig/s2/3'],
    [ref('default', 'kek', 1), 'sealfleet/default/kek/1'],
    [ref('default', 'audit', 7), 'sealfleet/audit/7'],
  ])('labels follow from names', (name, label) => {
    expect(keyLabel(name)).toBe(label)
  })
})

describe('activation', () => {
  test('retires the version before', async () => {
    const domain = await newDomain()
    await addKey(f.records, 'enc', 1, domain)
    await addKey(f.records, 'sig', 1, domain)
    await addKey(f.records, 'enc', 2, domain)
    expect((await getMasterKey(f.records, ref(domain, 'enc', 1)))?.state).toBe('DECRYPT_ONLY')
    expect((await getMasterKey(f.records, ref(domain, 'enc', 1)))?.retiredAt).toBeInstanceOf(Date)
    const keys = await activeKeys(f.records, domain)
    expect(keys).toMatchObject({ enc: { version: 2, domain }, sig: { version: 1, domain } })
    expect(keys).not.toHaveProperty('kek')
    const listed = await listMasterKeys(f.records, { domain })
    expect(listed.map((key) => `${key.role} ${key.version} ${key.state}`)).toEqual([
      'enc 1 DECRYPT_ONLY',
      'enc 2 ACTIVE',
      'sig 1 ACTIVE',
    ])
    expect(await listMasterKeys(f.records, { domain, role: 'enc', state: 'ACTIVE' })).toMatchObject([{ version: 2 }])
  })

  test('of the active version changes nothing, of an unknown or retired one is refused', async () => {
    const domain = await newDomain()
    const one = await addKey(f.records, 'enc', 1, domain)
    expect(await activateMasterKey(f.records, { ref: ref(domain, 'enc', 1) })).toEqual(one)
    await expect(activateMasterKey(f.records, { ref: ref(domain, 'enc', 9) })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    await addKey(f.records, 'enc', 2, domain)
    await expect(activateMasterKey(f.records, { ref: ref(domain, 'enc', 1) })).rejects.toMatchObject({
      code: 'BAD_STATE',
    })
    // The refusal came after version 2 was retired in the same transaction.
    expect((await getMasterKey(f.records, ref(domain, 'enc', 2)))?.state).toBe('ACTIVE')
  })

  test('by two rotations at once that replace the same version: one wins', async () => {
    const domain = await newDomain()
    await addKey(f.records, 'enc', 1, domain)
    for (const version of [2, 3])
      await registerMasterKey(f.records, { ref: ref(domain, 'enc', version), checkValue: randomBytes(8) })
    const results = await Promise.allSettled(
      [2, 3].map((version) => activateMasterKey(f.records, { ref: ref(domain, 'enc', version), replaces: 1 })),
    )
    expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected'])
    const lost = results.find((result) => result.status === 'rejected')
    expect(lost?.reason).toMatchObject({ code: 'BAD_STATE' })
    expect(await listMasterKeys(f.records, { domain, state: 'ACTIVE' })).toHaveLength(1)
  })

  test('of a KEK needs a record that it can be checked by', async () => {
    const domain = await newDomain()
    await registerMasterKey(f.records, { ref: ref(domain, 'kek', 1) })
    await expect(activateMasterKey(f.records, { ref: ref(domain, 'kek', 1) })).rejects.toMatchObject({
      code: 'INVALID',
      constraint: 'master_keys_check_record',
    })
  })
})

describe('activeKeys', () => {
  test('names the role that is missing', async () => {
    const domain = await newDomain()
    await expect(activeKeys(f.records, domain)).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY', message: /enc/ })
    await addKey(f.records, 'enc', 1, domain)
    await expect(activeKeys(f.records, domain)).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY', message: /sig/ })
    await expect(activeKeys(f.records, randomUUID())).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY' })
  })

  test('asks for a KEK where nonces are detached', async () => {
    const domain = await newDomain({ nonceMode: 'detached', lossAcknowledged: true })
    await addKey(f.records, 'enc', 1, domain)
    await addKey(f.records, 'sig', 1, domain)
    await expect(activeKeys(f.records, domain)).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY', message: /kek/ })
    await registerMasterKey(f.records, { ref: ref(domain, 'kek', 1), checkRecord: randomBytes(92) })
    await activateMasterKey(f.records, { ref: ref(domain, 'kek', 1) })
    expect((await activeKeys(f.records, domain)).kek).toMatchObject({ role: 'kek', version: 1, checkValue: null })
  })

  test('refuses a pair of different suites', async () => {
    const domain = await newDomain()
    await addKey(f.records, 'enc', 1, domain)
    await registerMasterKey(f.records, { ref: ref(domain, 'sig', 1, 2), checkValue: randomBytes(8) })
    await activateMasterKey(f.records, { ref: ref(domain, 'sig', 1) })
    await expect(activeKeys(f.records, domain)).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY', message: /suites/ })
  })

  test('a key that was never registered has no state', async () => {
    expect(await getMasterKey(f.records, ref('default', 'enc', 999))).toBeUndefined()
  })
})

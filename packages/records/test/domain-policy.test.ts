import type { Suite } from '@sealfleet/format'
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { activateMasterKey, activateMasterKeyIn, activeKeys, registerMasterKey } from '../src/keys/master-keys.js'
import { claimFile } from '../src/files/claim-file.js'
import { ensureDomain, getDomain } from '../src/fleet/domains.js'
import { keyAges } from '../src/keys/key-ages.js'
import { setDomain, type DomainChange } from '../src/fleet/set-domain.js'
import { addKey, gate, openFixture, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

async function newDomain(): Promise<string> {
  const id = randomUUID()
  await ensureDomain(f.records, { id, name: `tenant ${id}` })
  for (const role of ['enc', 'sig'] as const) await addKey(f.records, role, 1, id)
  return id
}
const set = (id: string, change: DomainChange) => f.records.transaction((tx) => setDomain(tx, id, change))

describe('a domain’s policy', () => {
  test('changes in what is named alone, and the next claim follows it', async () => {
    const id = await newDomain()
    const { before, after } = await set(id, { rotationDays: 365, segLog2: 18 })
    expect(before).toMatchObject({ rotationDays: null, retentionDays: null, segLog2: 20, suite: 1 })
    expect(after).toEqual({ ...before, rotationDays: 365, segLog2: 18 })
    expect((await set(id, { retentionDays: 3_650, name: `renamed ${id}` })).after).toMatchObject({ rotationDays: 365 })
    expect((await set(id, { rotationDays: null })).after).toMatchObject({ rotationDays: null, retentionDays: 3_650 })
    const claimed = await claimFile(f.records, request({ domain: id }))
    expect(claimed).toMatchObject({ domain: await getDomain(f.records, id) })
  })

  test.each([
    [{ rotationDays: 0 }],
    [{ retentionDays: -1 }],
    [{ rotationDays: 36_501 }],
    [{ retentionDays: 1.5 }],
    [{ segLog2: 15 }],
    [{ name: '' }],
  ])('refuses %o and stays as it was', async (change) => {
    const id = await newDomain()
    const before = await getDomain(f.records, id)
    await expect(set(id, change)).rejects.toMatchObject({ code: 'INVALID' })
    expect(await getDomain(f.records, id)).toEqual(before)
  })

  test('refuses a name that is taken, and a domain that is not there', async () => {
    const [one, two] = [await newDomain(), await newDomain()]
    await expect(set(one, { name: `tenant ${two}` })).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(set(randomUUID(), { segLog2: 18 })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('detaches nonces only with an active kek, and with the danger accepted', async () => {
    const id = await newDomain()
    const detached = { nonceMode: 'detached', lossAcknowledged: true } as const
    const refusal = { code: 'NO_ACTIVE_KEY', fix: expect.stringContaining('--with-kek') as string }
    await expect(set(id, detached)).rejects.toMatchObject(refusal)
    const ref = { role: 'kek', domain: id, suite: 1, version: 1 } as const
    await registerMasterKey(f.records, { ref, checkRecord: randomBytes(92) })
    await expect(set(id, detached)).rejects.toMatchObject(refusal)
    await activateMasterKey(f.records, { ref })
    await expect(set(id, { nonceMode: 'detached' })).rejects.toMatchObject({ code: 'INVALID' })
    expect((await set(id, detached)).after.nonceMode).toBe('detached')
    expect((await activeKeys(f.records, id)).kek?.version).toBe(1)
    expect((await set(id, { nonceMode: 'inline' })).after.nonceMode).toBe('inline')
  })
})

describe('a new suite', () => {
  const register = (domain: string, role: 'enc' | 'sig', suite: Suite, version: number) =>
    registerMasterKey(f.records, { ref: { role, domain, suite, version }, checkValue: randomBytes(8) })

  test('takes both keys at once: no one ever finds a mixed pair', async () => {
    const id = await newDomain()
    await set(id, { suite: 2 })
    expect((await activeKeys(f.records, id)).enc).toMatchObject({ suite: 1, version: 1 })
    for (const role of ['enc', 'sig'] as const) await register(id, role, 2, 2)
    const half = gate()
    const goOn = gate()
    const rotation = f.records.transaction(async (tx) => {
      await activateMasterKeyIn(tx, { ref: { role: 'enc', domain: id, version: 2 }, replaces: 1 })
      half.open()
      await goOn.opened
      await activateMasterKeyIn(tx, { ref: { role: 'sig', domain: id, version: 2 }, replaces: 1 })
    })
    await half.opened
    const meanwhile = await activeKeys(f.records, id)
    goOn.open()
    await rotation
    const after = await activeKeys(f.records, id)
    expect([meanwhile.enc, meanwhile.sig].map(({ suite, version }) => [suite, version])).toEqual([
      [1, 1],
      [1, 1],
    ])
    expect([after.enc, after.sig].map(({ suite, version }) => [suite, version])).toEqual([
      [2, 2],
      [2, 2],
    ])
    // Versions are one sequence, whatever the suite.
    await expect(register(id, 'enc', 1, 2)).rejects.toMatchObject({ code: 'CONFLICT' })
  })
})

test('a rotation is due when an active enc or sig key is as old as its domain wants; a kek never is', async () => {
  const id = await newDomain()
  const ref = { role: 'kek', domain: id, suite: 1, version: 1 } as const
  await registerMasterKey(f.records, { ref, checkRecord: randomBytes(92) })
  await activateMasterKey(f.records, { ref })
  const ages = async () => (await keyAges(f.records)).filter(({ domain }) => domain === id)
  const aged = (role: string, seconds: number) =>
    f.sql.query(
      `UPDATE master_keys SET activated_at = clock_timestamp() - make_interval(secs => $3)
       WHERE domain_id = $1 AND role = $2::key_role`,
      [id, role, seconds],
    )
  await aged('ENC', 10 * 86_400 + 60)
  await aged('SIG', 10 * 86_400 - 60)
  await aged('KEK', 4_000 * 86_400)
  expect((await ages()).map(({ due, dueAt }) => [due, dueAt])).toEqual([
    [false, null],
    [false, null],
    [false, null],
  ])
  await set(id, { rotationDays: 10 })
  const rows = await ages()
  expect(rows.map(({ role, due }) => `${role} ${due}`).sort()).toEqual(['enc true', 'kek false', 'sig false'])
  expect(rows.find(({ role }) => role === 'enc')?.ageDays).toBeGreaterThan(10)
  expect(rows.find(({ role }) => role === 'sig')?.ageDays).toBeLessThan(10)
})

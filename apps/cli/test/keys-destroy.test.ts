import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'

import { addOperator, addSignature, getRequest, rawPublicKey, signedBytes } from '@sealfleet/records/operators'
import { openRecords } from '@sealfleet/records'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type Ran, type World } from './support/world.js'

let world: World
const officers: { readonly name: string; readonly privateKey: KeyObject }[] = []
beforeAll(async () => {
  world = await createWorld()
  await using records = await openRecords(world.databaseUrl)
  for (const name of ['ann', 'bob']) {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const person = { name, role: 'officer', publicKey: rawPublicKey(publicKey), enrolledBy: 'test' } as const
    officers.push({ name, privateKey })
    if ((await world.sealfleet(['keys', 'init', '--domain', 'default'])).status !== 0) throw new Error('no keys')
    await records.transaction((tx) => addOperator(tx, person))
  }
})
afterAll(() => world?.[Symbol.asyncDispose]())

interface Refused {
  readonly error: { readonly code: string; readonly message: string; readonly fix: string }
  readonly needs?: { readonly lost: number; readonly first: readonly { readonly fileId: string }[] }
}

const FAST = { SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1' }
const KEY = ['--domain', 'default', '--role', 'enc', '--version', '1']
const WHY = ['--reason', 'the period is over', '--backups', 'none']
const destroy = (...args: string[]): Promise<Ran> =>
  world.inProcess(['keys', 'destroy', ...KEY, '--json', ...args], { env: FAST })
const codeOf = (ran: Ran): string => ran.json<Refused>().error.code

async function signAll(id: string, names: readonly string[] = ['ann', 'bob']): Promise<void> {
  await using records = await openRecords(world.databaseUrl)
  const body = (await getRequest(records, id))?.body ?? Buffer.of()
  for (const { name, privateKey } of officers.filter((one) => names.includes(one.name)))
    await addSignature(records, { requestId: id, operator: name, signature: sign(null, signedBytes(body), privateKey) })
}

async function sql(text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

describe('sealfleet keys destroy', { timeout: 180_000 }, () => {
  let fileId = ''

  it('refuses an ACTIVE version, an unknown one, and a command that does not say what it must', async () => {
    const active = await destroy(...WHY)
    expect([active.status, codeOf(active)]).toEqual([1, 'BAD_STATE'])
    const unknown = await world.sealfleet(['keys', 'destroy', '--role', 'enc', '--version', '9', ...WHY])
    expect(unknown.status).toBe(4)
    for (const args of [
      ['--reason', 'x'],
      ['--backups', 'none'],
      [...WHY, '--wait-days', '0'],
      ['--cancel', '--carry-out'],
    ])
      expect((await destroy(...args)).status, args.join(' ')).toBe(2)
    expect((await world.sealfleet(['--version'])).stdout.toString()).toContain('0.1.0')
  })

  it('refuses while no audit key can sign the record, and while a file needs the version', async () => {
    await writeFile(path.join(world.data, 'a.bin'), 'kept for ten years')
    await using _worker = await world.worker()
    const enqueued = await world.sealfleet(['enqueue', 'a.bin', '--wait', '--json'])
    expect(enqueued.status, enqueued.stderr).toBe(0)
    const [stored] = await sql(`SELECT id FROM files`)
    fileId = String(stored?.['id'])
    // Rotated by hand: what a rotation waits for is another suite's matter.
    expect((await world.sealfleet(['keys', 'rotate', '--role', 'enc'])).status).toBe(0)
    expect(codeOf(await destroy(...WHY))).toBe('NO_ACTIVE_KEY')
    expect((await world.sealfleet(['keys', 'init', '--with-audit'])).status).toBe(0)
    const refused = await destroy(...WHY)
    expect([refused.status, codeOf(refused)]).toEqual([1, 'STILL_REFERENCED'])
    expect(refused.json<Refused>().needs).toMatchObject({ lost: 1, first: [{ fileId }] })
    const dry = await destroy(...WHY, '--dry-run')
    expect([dry.status, dry.json<{ refusal: string }>().refusal]).toEqual([1, 'STILL_REFERENCED'])
    expect(dry.json<{ error: { fix: string } }>().error.fix).toContain('sealfleet rekey --domain default --from 1')
    expect(await sql('SELECT id FROM requests')).toEqual([])
  })

  it('shreds only what was typed, signed and waited for; then the file is gone at once and its seal still verifies', async () => {
    for (const confirm of [[], ['--confirm', 'destroy 2 files of default'], ['--confirm', 'yes']])
      expect((await destroy(...WHY, '--shred', ...confirm)).status, confirm.join(' ')).toBe(2)
    const asked = await destroy(
      ...WHY,
      '--shred',
      '--confirm',
      'destroy 1 files of default',
      '--wait-days',
      String(9 / 86_400),
    )
    expect(asked.status, asked.stderr).toBe(0)
    const { id } = asked.json<{ request: { id: string } }>().request
    expect(codeOf(await destroy('--request', id))).toBe('REQUEST_UNSIGNED')
    await signAll(id)
    const scheduled = await destroy('--request', id)
    expect(scheduled.status, scheduled.stderr).toBe(0)
    expect(codeOf(await destroy('--request', id))).toBe('BAD_STATE')
    // Until it is carried out, it is read as ever.
    const out = (name: string) => ['restore', fileId, '-o', path.join(world.dir, name)]
    expect((await world.sealfleet(out('before'))).status).toBe(0)

    await sql(`SELECT pg_sleep_until((SELECT execute_after + interval '5 ms' FROM destructions))`)
    const done = await destroy('--carry-out')
    expect(done.status, done.stderr).toBe(0)
    const restored = await world.sealfleet([...out('after'), '--json'])
    expect([restored.status, codeOf(restored)]).toEqual([5, 'E_KEY_DESTROYED'])
    expect((await world.sealfleet(['verify', fileId])).status).toBe(0)
    const check = await world.sealfleet(['keys', 'check', '--json'])
    expect(check.status, check.stderr).toBe(0)
    expect(check.json<{ keys: object[] }>().keys).toContainEqual({
      label: 'sealfleet/default/enc/s1/1',
      state: 'DESTROYED',
      outcome: 'destroyed',
      tokens: { primary: 'destroyed' },
    })
  })

  it('lists it with its record, verifies it, and finds a record that was changed in the store', async () => {
    const listed = await world.sealfleet(['keys', 'destructions', '--verify', '--json'])
    expect(listed.status, listed.stderr).toBe(0)
    expect(listed.json<{ destructions: object[] }>().destructions).toMatchObject([
      { state: 'DESTROYED', label: 'sealfleet/default/enc/s1/1', problems: [], record: { shred: true } },
    ])
    await sql(
      `ALTER TABLE destructions DISABLE TRIGGER USER; UPDATE destructions SET record = record || '\\x20'::bytea`,
    )
    const forged = await world.sealfleet(['keys', 'destructions', '--verify', '--json'])
    expect(forged.status).toBe(1)
    const [{ problems = [] } = {}] = forged.json<{ destructions: { problems?: string[] }[] }>().destructions
    expect(problems.some((text) => text.includes('MAC'))).toBe(true)
    expect(problems.some((text) => text.includes('copy'))).toBe(true)
  })

  it('never uses the number again', async () => {
    const rotated = await world.sealfleet(['keys', 'rotate', '--role', 'enc', '--json'])
    expect(rotated.json<{ keys: { label: string }[] }>().keys.map(({ label }) => label)).toContain(
      'sealfleet/default/enc/s1/3',
    )
  })

  it('finds the open request that says exactly the same, also in a dry run, and makes another for anything else', async () => {
    const second = ['keys', 'destroy', '--role', 'enc', '--version', '2', '--json']
    interface Asked {
      readonly dryRun: boolean
      readonly refusal: null
      readonly request: { readonly id: string; readonly missing: number; readonly required: number } | null
    }
    const ask = async (...args: string[]) => (await world.inProcess([...second, ...args], { env: FAST })).json<Asked>()
    const idOf = async (...args: string[]) => (await ask(...args)).request?.id
    const terms = ['--reason', 'asked twice', '--backups', 'none', '--wait-days', '2']
    const count = async () => (await sql('SELECT count(*)::int AS n FROM requests'))[0]?.['n']
    expect(await ask(...terms, '--dry-run')).toMatchObject({ dryRun: true, refusal: null, request: null })
    const before = Number(await count())
    const first = await ask(...terms)
    expect(first).toMatchObject({ dryRun: false, request: { kind: 'keys.destroy', missing: 2, required: 2 } })
    const id = first.request?.id ?? ''
    await signAll(id, ['ann'])
    expect((await ask(...terms)).request).toMatchObject({ id, missing: 1 })
    expect((await ask(...terms, '--dry-run')).request).toMatchObject({ id, missing: 1 })
    expect(await count()).toBe(before + 1)
    const others = [
      ['--reason', 'another', '--backups', 'none', '--wait-days', '2'],
      ['--reason', 'asked twice', '--backups', 'two cards', '--wait-days', '2'],
      ['--reason', 'asked twice', '--backups', 'none', '--wait-days', '3'],
      [...terms, '--signatures', '3'],
      [...terms, '--shred', '--confirm', 'destroy 0 files of default'],
    ]
    const ids = new Set([id])
    for (const other of others) ids.add((await idOf(...other)) ?? '')
    expect(ids.size).toBe(others.length + 1)
    // An expired or cancelled one is not open.
    expect((await world.inProcess(['requests', 'cancel', id, '--reason', 'no'])).status).toBe(0)
    expect(ids).not.toContain(await idOf(...terms))
    const shown = (await world.inProcess(['keys', 'destroy', ...second.slice(2, -1), ...terms], { env: FAST })).stdout
    expect(shown.toString()).toMatch(/sealfleet keys destroy --domain default --role enc --version 2 --request \S+/)
  })

  it('takes a scheduled one back, and says so in the audit log', async () => {
    const second = ['keys', 'destroy', '--role', 'enc', '--version', '2', '--json']
    const run = (...args: string[]) => world.inProcess([...second, ...args], { env: FAST })
    const { id } = (await run(...WHY)).json<{ request: { id: string } }>().request
    expect((await run(...WHY)).json<{ request: { id: string } }>().request.id).toBe(id)
    await signAll(id)
    expect((await run('--request', id)).status).toBe(0)
    const early = await run('--carry-out')
    expect([early.status, codeOf(early)]).toEqual([1, 'BAD_STATE'])
    expect((await run('--cancel')).status).toBe(2)
    expect((await run('--cancel', '--reason', 'a mistake')).status).toBe(0)
    const keys = (await world.sealfleet(['keys', 'list', '--json'])).json<{
      keys: { label: string; state: string }[]
    }>()
    expect(keys.keys.find(({ label }) => label.endsWith('enc/s1/2'))?.state).toBe('DECRYPT_ONLY')
    const rows = await sql(`SELECT detail->>'reason' AS reason FROM audit_log WHERE action = 'keys.destroy.cancel'`)
    expect(rows).toEqual([{ reason: 'a mistake' }])
  })
})

describe('sealfleet keys retire', () => {
  it('takes the active version out of use, when told that no file is taken then', async () => {
    const retire = ['keys', 'retire', '--role', 'sig', '--reason', 'tenant left', '--json']
    expect((await world.sealfleet([...retire, '--dry-run'])).json()).toMatchObject({ dryRun: true, state: 'ACTIVE' })
    expect((await world.sealfleet(retire)).status).toBe(2)
    expect((await world.sealfleet([...retire, '--yes'])).json()).toMatchObject({ state: 'DECRYPT_ONLY' })
    expect(codeOf(await world.sealfleet([...retire, '--yes']))).toBe('BAD_STATE')
    expect(codeOf(await world.sealfleet(['keys', 'rotate', '--json']))).toBe('NO_ACTIVE_KEY')
    const rows = await sql(`SELECT detail->>'reason' AS reason FROM audit_log WHERE action = 'keys.retire'`)
    expect(rows).toEqual([{ reason: 'tenant left' }])
  })
})

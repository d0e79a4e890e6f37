import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { listAudit } from '@sealfleet/records/audit'
import { openRecords, type AuditRow } from '@sealfleet/records'
import pg from 'pg'
import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Failed {
  readonly error: { readonly code: string; readonly message: string; readonly fix?: string }
}
interface Domain {
  readonly id: string
  readonly name: string
  readonly suite: number
  readonly nonceMode: string
  readonly rotationDays: number | null
  readonly retentionDays: number | null
  readonly rotationDue: boolean
  readonly keys: readonly {
    readonly role: string
    readonly version: number
    readonly suite: number
    readonly due: boolean
  }[]
  readonly files: Readonly<Record<string, number>>
}

let world: World
beforeAll(async () => {
  world = await createWorld()
  expect((await world.sealfleet(['keys', 'init'])).status).toBe(0)
})
afterAll(() => world?.[Symbol.asyncDispose]())

const errorOf = (ran: { json<T>(): T }): Failed['error'] => ran.json<Failed>().error
const show = async (name: string) => (await world.inProcess(['domains', 'show', name, '--json'])).json<Domain>()

async function add(name: string, ...options: string[]): Promise<Domain> {
  const ran = await world.inProcess(['domains', 'add', name, ...options])
  expect(ran.status, ran.stderr).toBe(0)
  return show(name)
}

async function auditOf(domain: string): Promise<AuditRow[]> {
  await using records = await openRecords(world.databaseUrl)
  return await listAudit(records, { subjectKind: 'domain', subjectId: domain })
}

async function sql(text: string, values: readonly unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    await client.query(text, [...values])
  } finally {
    await client.end()
  }
}

describe('sealfleet domains', () => {
  test('add, list and show say the whole policy; set changes what is named, once, with an audit row', async () => {
    const made = await add('books', '--rotation-days', '365', '--retention-days', '3650', '--segment', '18')
    expect(made).toMatchObject({ suite: 1, rotationDays: 365, retentionDays: 3650, segLog2: 18, rotationDue: false })
    const set = ['domains', 'set', 'books', '--rotation-days', 'never', '--retention-days', '30', '--rename', 'ledgers']
    const dry = await world.inProcess([...set, '--dry-run', '--json'])
    expect(dry.json()).toMatchObject({ dryRun: true, changes: { retentionDays: { from: 3650, to: 30 } } })
    expect(await show('books')).toEqual(made)
    expect((await world.inProcess(set)).stdout.toString()).toMatch(/rotationDays +365 +none/)
    const after = await show(made.id)
    expect(after).toMatchObject({ name: 'ledgers', rotationDays: null, retentionDays: 30, suite: 1 })
    expect((await world.inProcess([...set.slice(0, 2), 'ledgers', ...set.slice(3)])).stdout.toString()).toContain(
      'has this policy already',
    )
    const audit = await auditOf(made.id)
    expect(audit.map(({ action, actor }) => `${action} ${actor}`)).toEqual([
      'domains.add cli:tester',
      'domains.set cli:tester',
    ])
    expect(audit[1]?.detail).toMatchObject({ name: { from: 'books', to: 'ledgers' } })
    expect((await world.inProcess(['keys', 'init', '--domain', 'ledgers'])).status).toBe(0)
    const list = await world.inProcess(['domains', 'list'])
    expect(list.stdout.toString()).toMatch(/ledgers .* never +30 days/)
  })

  test.each([
    [['set', 'default'], 2],
    [['set', 'nobody', '--suite', '2'], 4],
    [['set', 'default', '--rename', 'other'], 2],
    [['set', 'default', '--rotation-days', '0'], 2],
    [['set', 'default', '--retention-days', 'never'], 2],
    [['set', 'default', '--retention-days', '99999'], 2],
    [['set', 'default', '--suite', '3'], 2],
    [['set', 'default', '--nonces', 'detached'], 2],
    [['show', 'nobody'], 4],
    [['add', 'default'], 2],
  ])('refuses %o with status %i', async (args, status) => {
    expect((await world.inProcess(['domains', ...args, '--json'])).status).toBe(status)
  })

  test('nonces are detached only after a KEK was made, by the command that the refusal names', async () => {
    await add('detaching')
    expect((await world.sealfleet(['keys', 'init', '--domain', 'detaching'])).status).toBe(0)
    const detach = ['domains', 'set', 'detaching', '--nonces', 'detached', '--accept-loss-with-database', '--json']
    const refused = await world.inProcess(detach)
    expect(errorOf(refused)).toMatchObject({ code: 'NO_ACTIVE_KEY' })
    const [, command = ''] = /`npx sealfleet (.*)`/.exec(errorOf(refused).fix ?? '') ?? []
    expect((await world.inProcess([...detach, '--dry-run'])).status).not.toBe(0)
    expect((await world.sealfleet(command.split(' '))).status).toBe(0)
    expect((await world.inProcess(detach)).status).toBe(0)
    expect(await show('detaching')).toMatchObject({ nonceMode: 'detached' })
    expect((await show('detaching')).keys.map(({ role }) => role).sort()).toEqual(['enc', 'kek', 'sig'])
  })

  test('a rotation that is due is told by show, status and doctor, as a warning', async () => {
    const due = await add('old', '--rotation-days', '90')
    expect((await world.sealfleet(['keys', 'init', '--domain', 'old'])).status).toBe(0)
    const age = `UPDATE master_keys SET activated_at = activated_at - interval '91 days' WHERE domain_id = $1 AND role = 'SIG'`
    await sql(age, [due.id])
    const shown = await show('old')
    expect(shown.rotationDue).toBe(true)
    expect(shown.keys.map(({ role, due: isDue }) => `${role} ${isDue}`)).toEqual(['enc false', 'sig true'])
    expect((await world.inProcess(['domains', 'show', 'old'])).stdout.toString()).toContain('DUE since')
    expect((await world.inProcess(['status'])).stdout.toString()).toContain('keys rotate --domain old')
    const doctor = await world.sealfleet(['doctor', '--json'])
    const { findings } = doctor.json<{ findings: { check: string; state: string; detail: string }[] }>()
    expect(findings).toContainEqual(
      expect.objectContaining({ check: 'rotation', state: 'warning', detail: 'due in old' }),
    )
    expect(doctor.status).toBe(0)
    expect((await world.sealfleet(['keys', 'rotate', '--domain', 'old'])).status).toBe(0)
    expect((await show('old')).rotationDue).toBe(false)
  })
})

describe('a domain that goes from suite 1 to suite 2 while it is used', () => {
  longTest(
    'old files open, new ones are of suite 2 under masters of their own, and versions go on',
    { timeout: 240_000 },
    async () => {
      await using _worker = await world.worker()
      const domain = await add('growing')
      expect((await world.inProcess(['keys', 'init', '--domain', 'growing'])).status).toBe(0)
      const store = async (name: string): Promise<string> => {
        await writeFile(path.join(world.data, name), `the content of ${name}`)
        const ran = await world.inProcess(['enqueue', name, '--domain', 'growing', '--id', name, '--wait', '--json'])
        expect(ran.status, ran.stderr).toBe(0)
        return name
      }
      const sealedUnder = async (name: string) => {
        const ran = await world.inProcess(['status', name, '--json'])
        const { suite, encKeyVersion, sigKeyVersion } = ran.json<{ object: Record<string, number> }>().object
        return [suite, encKeyVersion, sigKeyVersion]
      }
      const opens = async (name: string): Promise<void> => {
        const ran = await world.inProcess(['restore', name, '-o', '-'])
        expect(ran.stdout.toString()).toBe(`the content of ${name}`)
      }
      await store('first')
      const set = await world.inProcess(['domains', 'set', 'growing', '--suite', '2'])
      expect(set.stderr).toContain('keys rotate --domain growing')
      expect((await world.inProcess(['domains', 'show', 'growing'])).stdout.toString()).toContain('not of suite 2 yet')
      // Until the rotation files are sealed under the keys that are active.
      await store('between')
      for (const role of ['enc', 'sig']) {
        const alone = await world.inProcess(['keys', 'rotate', '--domain', 'growing', '--role', role, '--json'])
        expect(alone.status).toBe(1)
        expect(errorOf(alone)).toMatchObject({ code: 'BAD_STATE', fix: 'sealfleet keys rotate --domain growing' })
      }
      const [rotated] = await Promise.all([
        world.inProcess(['keys', 'rotate', '--domain', 'growing']),
        ...Array.from({ length: 2 }, (_, i) => store(`under-way-${i}`)),
      ])
      expect(rotated.status, rotated.stderr).toBe(0)
      await store('second')
      expect(await sealedUnder('first')).toEqual([1, 1, 1])
      expect(await sealedUnder('between')).toEqual([1, 1, 1])
      expect(await sealedUnder('second')).toEqual([2, 2, 2])
      for (let i = 0; i < 2; i++)
        expect([
          [1, 1, 1],
          [2, 2, 2],
        ]).toContainEqual(await sealedUnder(`under-way-${i}`))
      for (const name of ['first', 'between', 'second', 'under-way-0', 'under-way-1']) await opens(name)
      // Of one suite again, one role can be rotated alone.
      expect((await world.inProcess(['keys', 'rotate', '--domain', 'growing', '--role', 'enc'])).status).toBe(0)
      await store('third')
      expect(await sealedUnder('third')).toEqual([2, 3, 2])
      await opens('third')
      const back = await world.inProcess(['domains', 'set', 'growing', '--suite', '1'])
      expect(back.status).toBe(0)
      expect((await world.inProcess(['keys', 'rotate', '--domain', 'growing'])).status).toBe(0)
      await store('fourth')
      expect(await sealedUnder('fourth')).toEqual([1, 4, 3])
      for (const name of ['first', 'second', 'third', 'fourth']) await opens(name)
      const keys = (await world.inProcess(['keys', 'list', '--domain', 'growing', '--json'])).json<{
        keys: { label: string }[]
      }>()
      expect(keys.keys.map(({ label }) => label.replace(`sealfleet/${domain.id}/`, ''))).toEqual([
        ...['enc/s1/1', 'enc/s2/2', 'enc/s2/3', 'enc/s1/4'],
        ...['sig/s1/1', 'sig/s2/2', 'sig/s1/3'],
      ])
      expect((await world.inProcess(['keys', 'check', '--domain', 'growing'])).status).toBe(0)
      expect((await show('growing')).files['STORED']).toBe(7)
    },
  )
})

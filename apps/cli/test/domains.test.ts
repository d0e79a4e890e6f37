import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { getFile, listAudit, openRecords, type AuditRow } from '@sealfleet/records'
import pg from 'pg'
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
  readonly holds: readonly { readonly id: string }[]
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
      'so already',
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
  test('old files open, new ones are of suite 2 under masters of their own, and versions go on', async () => {
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
  }, 240_000)
})

describe('holds, rm and retention', () => {
  let ids: string[] = []
  beforeAll(async () => {
    await using _worker = await world.worker()
    ids = ['keep-1', 'keep-2', 'keep-3', 'keep-4', 'keep-5', 'keep-6']
    await add('cases')
    expect((await world.sealfleet(['keys', 'init', '--domain', 'cases'])).status).toBe(0)
    for (const id of ids) {
      await writeFile(path.join(world.data, id), id)
      const ran = await world.inProcess(['enqueue', id, '--domain', 'cases', '--id', id, '--wait'])
      expect(ran.status, ran.stderr).toBe(0)
    }
  })
  const objectOf = async (id: string) =>
    (await world.inProcess(['status', id, '--json'])).json<{ fileId: string; object: { key: string } | null }>()
  const rm = (...args: string[]) => world.inProcess(['rm', ...args, '--reason', 'the owner asked', '--yes', '--json'])

  test('a hold refuses a removal with HELD and names who placed it; released, the file goes, its object with it', async () => {
    const placed = await world.inProcess(['holds', 'place', '--file', 'keep-1', '--reason', 'lawsuit 7', '--json'])
    const { hold } = placed.json<{ hold: { id: string; fileId: string } }>()
    expect(hold.fileId).toBe((await objectOf('keep-1')).fileId)
    const refused = await rm('keep-1')
    expect(refused.status).toBe(1)
    expect(errorOf(refused)).toMatchObject({ code: 'HELD', message: expect.stringContaining('lawsuit 7') as string })
    // One of several: none is removed.
    expect((await rm('keep-2', 'keep-1')).status).toBe(1)
    expect((await world.inProcess(['status', 'keep-2'])).stdout.toString()).toContain('STORED')
    expect((await show('cases')).holds.map(({ id }) => id)).toEqual([hold.id])
    expect((await world.inProcess(['holds', 'list'])).stdout.toString()).toContain('lawsuit 7')
    const dry = await world.inProcess(['holds', 'release', hold.id, '--reason', 'settled', '--dry-run'])
    expect(dry.status).toBe(0)
    const release = ['holds', 'release', hold.id, '--reason', 'settled', '--json']
    expect((await world.inProcess(release)).status).toBe(0)
    expect(errorOf(await world.inProcess(release))).toMatchObject({ code: 'BAD_STATE' })
    expect((await world.inProcess(['holds', 'list', '--json'])).json()).toEqual({ holds: [] })
    expect((await world.inProcess(['holds', 'list', '--all'])).stdout.toString()).toContain('lawsuit 7')

    const { fileId } = await objectOf('keep-1')
    const gone = await rm('keep-1', 'keep-2')
    expect(gone.status, gone.stdout.toString()).toBe(0)
    expect(gone.json()).toMatchObject({ objects: { deleted: 2, left: null } })
    const status = await world.inProcess(['status', 'keep-1'])
    expect(status.stdout.toString()).toMatch(/deleted +removed at .* by cli:tester$/m)
    expect((await world.inProcess(['trace', 'keep-1'])).stdout.toString()).toMatch(
      /files\.remove +cli:tester +the owner asked/,
    )
    expect((await world.inProcess(['list', '--state', 'deleted'])).stdout.toString()).toContain('DELETED (removed)')
    const restored = await world.sealfleet(['restore', 'keep-1', '-o', 'out', '--json'])
    expect(restored.status).toBe(4)
    expect(errorOf(restored)).toMatchObject({
      code: 'FILE_NOT_STORED',
      message: expect.stringMatching(/removed at .* by cli:tester/) as string,
    })
    // Given again it is done already.
    expect((await rm('keep-1')).json()).toMatchObject({ files: [{ fileId, outcome: 'removed before' }] })
  })

  test('rm without the store leaves objects to the sweep, asks before it does anything, and knows what it can not remove', async () => {
    const { object } = await objectOf('keep-3')
    const alone = await world.inProcess(['rm', 'keep-3', '--reason', 'x', '--json'])
    expect(alone.status).toBe(2)
    expect(errorOf(alone).fix).toBe('--yes')
    const dry = await world.inProcess(['rm', 'keep-3', '--reason', 'x', '--dry-run'])
    expect(dry.stdout.toString()).toContain('would be removed')
    expect((await world.inProcess(['rm', 'keep-3', '--yes'])).status).toBe(2)
    expect((await rm('keep-3', 'nobody')).status).toBe(4)
    expect((await objectOf('keep-3')).object?.key).toBe(object?.key)
    const args = ['rm', 'keep-3', '--reason', 'x', '--yes', '--json']
    const cut = await world.inProcess(args, { env: { SEALFLEET_S3_BUCKET: undefined } })
    expect(cut.status, cut.stdout.toString()).toBe(0)
    expect(cut.json()).toMatchObject({ objects: { deleted: 0, left: { code: 'CONFIG_INVALID' } } })
    expect((await world.inProcess(['status', 'keep-3'])).stdout.toString()).toContain('still to be swept')
    const swept = await world.inProcess(['sweep', '--json'])
    expect(swept.json()).toMatchObject({ objectsDeleted: 1 })
    expect((await world.inProcess(['status', 'keep-3'])).stdout.toString()).not.toContain('still to be swept')

    await writeFile(path.join(world.data, 'waiting'), 'x')
    await world.inProcess(['enqueue', 'waiting', '--id', 'waiting'])
    const queued = await rm('waiting')
    expect(errorOf(queued)).toMatchObject({ code: 'BAD_STATE', fix: expect.stringContaining('dlq discard') as string })
    await using records = await openRecords(world.databaseUrl)
    expect((await getFile(records, (await objectOf('keep-3')).fileId))?.file.state).toBe('DELETED')
  })

  test('retention is listed with what holds keep apart, and run by hand deletes the rest', async () => {
    const { id } = await show('cases')
    expect((await world.inProcess(['domains', 'set', 'cases', '--retention-days', '10'])).status).toBe(0)
    await sql(`UPDATE files SET stored_at = stored_at - interval '11 days' WHERE domain_id = $1`, [id])
    expect((await world.inProcess(['holds', 'place', '--file', 'keep-4', '--reason', 'audit'])).status).toBe(0)
    const listed = await world.inProcess(['retention', 'list', '--domain', 'cases', '--json'])
    const [one] = listed.json<{ domains: { due: number; held: number; dueFiles: unknown[]; heldFiles: unknown[] }[] }>()
      .domains
    expect(one).toMatchObject({ due: 2, held: 1 })
    expect([one?.dueFiles.length, one?.heldFiles.length]).toEqual([2, 1])
    expect((await world.inProcess(['retention', 'list'])).stdout.toString()).toContain('kept by a hold')
    const run = ['retention', 'run', '--domain', 'cases', '--json']
    expect((await world.inProcess(run)).status).toBe(2)
    expect((await world.inProcess([...run, '--dry-run'])).json()).toMatchObject({ due: 2, expired: 0 })
    expect((await world.inProcess([...run, '--yes'])).json()).toMatchObject({ expired: 2, held: 1 })
    expect((await world.inProcess(['status', 'keep-5'])).stdout.toString()).toContain('deleted past its retention')
    expect((await world.inProcess(['sweep', '--json'])).json()).toMatchObject({ objectsDeleted: 2, found: 0 })
    const opened = await world.sealfleet(['restore', 'keep-4', '-o', '-'])
    expect(opened.stdout.toString()).toBe('keep-4')
    expect((await world.inProcess(['status'])).stdout.toString()).toContain('0 (nothing lost)')
  })

  test.each([
    [['holds', 'place', '--reason', 'x'], 2],
    [['holds', 'place', '--domain', 'cases', '--file', 'keep-4', '--reason', 'x'], 2],
    [['holds', 'place', '--domain', 'nobody', '--reason', 'x'], 4],
    [['holds', 'place', '--file', 'nobody', '--reason', 'x'], 4],
    [['holds', 'place', '--domain', 'cases', '--reason', ' '], 2],
    [['holds', 'place', '--domain', 'cases'], 2],
    [['holds', 'place', '--file', 'keep-1', '--reason', 'x'], 1],
    [['holds', 'release', 'x', '--reason', 'x'], 2],
    [['holds', 'release', '00000000-0000-4000-8000-000000000000', '--reason', 'x'], 4],
    [['retention', 'run', '--domain', 'nobody', '--yes'], 4],
  ])('%o ends with status %i', async (args, status) => {
    expect((await world.inProcess([...args, '--json'])).status).toBe(status)
  })
})

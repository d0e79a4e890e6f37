import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { getFile } from '@sealfleet/records/files'
import { openRecords } from '@sealfleet/records'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Failed {
  readonly error: { readonly code: string; readonly message: string; readonly fix?: string }
}
interface Domain {
  readonly id: string
  readonly holds: readonly { readonly id: string }[]
}

let world: World
beforeAll(async () => {
  world = await createWorld()
})
afterAll(() => world?.[Symbol.asyncDispose]())

const errorOf = (ran: { json<T>(): T }): Failed['error'] => ran.json<Failed>().error
const show = async (name: string) => (await world.inProcess(['domains', 'show', name, '--json'])).json<Domain>()

async function sql(text: string, values: readonly unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    await client.query(text, [...values])
  } finally {
    await client.end()
  }
}

describe('holds, rm and retention', () => {
  beforeAll(async () => {
    expect((await world.inProcess(['keys', 'init'])).status).toBe(0)
    await using _worker = await world.worker()
    const ids = ['keep-1', 'keep-2', 'keep-3', 'keep-4', 'keep-5', 'keep-6']
    expect((await world.inProcess(['domains', 'add', 'cases'])).status).toBe(0)
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

  test('rm without the store leaves objects to the sweep, asks before it does anything, and knows what it cannot remove', async () => {
    const { object } = await objectOf('keep-3')
    const alone = await world.inProcess(['rm', 'keep-3', '--reason', 'x', '--json'])
    expect(alone.status).toBe(2)
    expect(errorOf(alone).fix).toBe('use --yes')
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
    const swept = await world.inProcess(['maintenance', 'run', 'sweep', '--json'])
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
    const run = ['maintenance', 'run', 'retention', '--domain', 'cases', '--json']
    expect((await world.inProcess(run)).status).toBe(2)
    expect((await world.inProcess([...run, '--dry-run'])).json()).toMatchObject({ due: 2, expired: 0 })
    expect((await world.inProcess([...run, '--yes'])).json()).toMatchObject({ expired: 2, held: 1 })
    expect((await world.inProcess(['status', 'keep-5'])).stdout.toString()).toContain('deleted past its retention')
    expect((await world.inProcess(['maintenance', 'run', 'sweep', '--json'])).json()).toMatchObject({
      objectsDeleted: 2,
      found: 0,
    })
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
    [['holds', 'place', '--file', 'keep-1', '--reason', 'x', '--dry-run'], 1],
    [['holds', 'release', 'x', '--reason', 'x'], 2],
    [['holds', 'release', '00000000-0000-4000-8000-000000000000', '--reason', 'x'], 4],
    [['maintenance', 'run', 'retention', '--domain', 'nobody', '--yes'], 4],
  ])('%o ends with status %i', async (args, status) => {
    expect((await world.inProcess([...args, '--json'])).status).toBe(status)
  })
})

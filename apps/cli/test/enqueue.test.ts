import { QUEUES } from '@sealfleet/queue'
import { Queue } from 'bullmq'
import { execFileSync } from 'node:child_process'
import { mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Report {
  readonly batchId?: string
  readonly files: readonly { readonly fileId: string; readonly outcome: string; readonly relativePath: string }[]
  readonly skipped: readonly unknown[]
  readonly error?: { readonly code: string; readonly fix: string }
}

interface Batch {
  readonly batch: { readonly expected: number | null }
  readonly accepted: number
  readonly finished: number
  readonly byState: Readonly<Record<string, number>>
}

let world: World
let queue: Queue
beforeAll(async () => {
  world = await createWorld()
  await mkdir(path.join(world.data, 'sub'))
  await writeFile(path.join(world.data, 'a.txt'), 'hello')
  await writeFile(path.join(world.data, 'sub', 'b.txt'), '')
  await symlink('/etc/passwd', path.join(world.data, 'out'))
  execFileSync('mkfifo', [path.join(world.data, 'fifo')])
  queue = new Queue(QUEUES.ingest, {
    connection: { url: world.env['SEALFLEET_REDIS_URL'] ?? '' },
    prefix: world.env['SEALFLEET_QUEUE_PREFIX'] ?? '',
  })
})
afterAll(async () => {
  await queue.obliterate({ force: true })
  await queue.close()
  await world[Symbol.asyncDispose]()
})

describe('sealfleet enqueue', () => {
  it('refuses a domain without keys before anything is accepted: status 5', async () => {
    const ran = await world.inProcess(['enqueue', 'a.txt', '--json'])
    // Before keys init there is not even the default domain.
    expect(ran.json<Report>().error).toMatchObject({ code: 'NOT_FOUND', fix: 'sealfleet keys init' })
    await world.inProcess(['keys', 'init'])
    await world.inProcess(['domains', 'add', 'bare'])
    const bare = await world.inProcess(['enqueue', 'a.txt', '--domain', 'bare', '--json'])
    expect([bare.status, bare.json<Report>().error?.code]).toEqual([5, 'NO_ACTIVE_KEY'])
    expect(await queue.getJobCountByTypes('waiting')).toBe(0)
  })

  it('writes the file down and gives the workers a job of the contract', async () => {
    const ran = await world.sealfleet(['enqueue', 'a.txt', '--context', 'tenant 7', '--json'])
    expect(ran.status, ran.stderr).toBe(0)
    const [file] = ran.json<Report>().files
    expect(file).toMatchObject({ outcome: 'queued', relativePath: 'a.txt' })
    const job = await queue.getJob(`f-${file?.fileId}-g1`)
    expect(job?.data).toEqual({
      v: 1,
      fileId: file?.fileId,
      domain: 'default',
      source: { root: 'data', path: 'a.txt' },
      context: Buffer.from('tenant 7').toString('base64url'),
      generation: 1,
      fleet: (await world.sealfleet(['fleet', 'show', '--json'])).json<{ id: string }>().id,
    })
    const status = (await world.inProcess(['status', file?.fileId ?? '', '--json'])).json<{ state: string }>()
    expect(status.state).toBe('QUEUED')
  })

  it('is one request when asked twice, and another one when the file was changed', async () => {
    const first = (await world.inProcess(['enqueue', 'a.txt', '--json'])).json<Report>().files[0]
    const again = (await world.inProcess(['enqueue', 'a.txt', 'a.txt', '--json'])).json<Report>().files
    expect(again).toEqual([expect.objectContaining({ fileId: first?.fileId, outcome: 'already-queued' })])
    await utimes(path.join(world.data, 'a.txt'), 1, 1)
    const changed = (await world.inProcess(['enqueue', 'a.txt', '--json'])).json<Report>().files[0]
    expect(changed?.outcome).toBe('queued')
    expect(changed?.fileId).not.toBe(first?.fileId)
  })

  it('refuses the same id for another source: REQUEST_CONFLICT, the first untouched', async () => {
    await world.inProcess(['enqueue', 'a.txt', '--id', 'invoice 17'])
    const ran = await world.inProcess(['enqueue', 'sub/b.txt', '--id', 'invoice 17', '--json'])
    expect([ran.status, ran.json<Report>().error?.code]).toEqual([1, 'REQUEST_CONFLICT'])
    const status = (await world.inProcess(['status', 'invoice 17', '--json'])).json<{ source: { path: string } }>()
    expect(status.source.path).toBe('a.txt')
  })

  it('takes folders in batches, keeps relative paths, reports what it skipped', async () => {
    const ran = await world.inProcess(['enqueue', '.', '--batch', 'nightly', '--json'])
    const report = ran.json<Report>()
    expect(report.files.map(({ relativePath }) => relativePath)).toEqual(['a.txt', 'sub/b.txt'])
    expect(report.skipped).toHaveLength(2)
    const batch = (await world.inProcess(['status', '--batch', 'nightly', '--json'])).json<{ batch: { id: string } }>()
    expect(batch.batch.id).toBe(report.batchId)
    const listed = await world.inProcess(['list', '--prefix', 'sub/', '--json'])
    expect(listed.json<{ files: unknown[] }>().files).toHaveLength(1)
  })

  it('lists all names that are not UTF-8 and accepts nothing, or goes on without them', async () => {
    const folder = path.join(world.data, 'names')
    await mkdir(folder)
    await writeFile(path.join(folder, 'a\ufffd'), '')
    for (const byte of [0xe9, 0xff])
      await writeFile(Buffer.concat([Buffer.from(`${folder}/b`), Buffer.of(byte)]), 'bytes')
    const before = await queue.getWaitingCount()
    const refused = await world.inProcess(['enqueue', 'names', '--json'])
    const report = refused.json<Report & { badNames: { shown: string }[] }>()
    expect([refused.status, report.error?.code]).toEqual([1, 'SOURCE_NAME'])
    expect(report.badNames.map(({ shown }) => shown)).toEqual(['names/b\\xe9', 'names/b\\xff'])
    expect(await queue.getWaitingCount()).toBe(before)
    const text = await world.inProcess(['enqueue', 'names'])
    expect(text.stderr).toMatch(/not UTF-8: names\/b.*xff\nsealfleet: SOURCE_NAME: 2 names[^]*--skip-bad-names/)
    const without = await world.inProcess(['enqueue', 'names', '--skip-bad-names', '--json'])
    expect([without.status, without.json<Report>().files.map((file) => file.relativePath)]).toEqual([
      0,
      ['names/a\ufffd'],
    ])
    await rm(folder, { recursive: true })
  })

  it('makes several files one batch without being told; the same command finds it again, one file makes none', async () => {
    const folder = path.join(world.data, 'unnamed')
    await mkdir(folder)
    for (const name of ['1', '2', '3']) await writeFile(path.join(folder, name), name)
    const one = (await world.inProcess(['enqueue', 'unnamed/1', '--json'])).json<Report>()
    expect(one.batchId).toBeUndefined()
    const shown = await world.inProcess(['enqueue', 'unnamed'])
    const { batchId = '' } = (await world.inProcess(['enqueue', 'unnamed', '--json'])).json<Report>()
    expect(shown.stderr).toContain(`sealfleet status --batch ${batchId}`)
    // The first is in no batch: it came alone.
    const batch = (await world.inProcess(['status', '--batch', batchId, '--json'])).json<Batch>()
    expect(batch).toMatchObject({ accepted: 2, finished: 0, batch: { expected: 2 } })
    await writeFile(path.join(folder, '4'), '4')
    const changed = (await world.inProcess(['enqueue', 'unnamed', '--json'])).json<Report>()
    expect(changed.batchId).toBeUndefined()
  })

  it('takes ten thousand files as one batch with one exact progress and one report', async () => {
    const folder = path.join(world.data, 'many')
    await mkdir(folder)
    const names = Array.from({ length: 10_000 }, (_, n) => `${n}.bin`)
    for (const name of names) await writeFile(path.join(folder, name), '')
    const before = await queue.getWaitingCount()
    const ran = await world.inProcess(['enqueue', 'many', '--json'])
    const { batchId = '', files } = ran.json<Report>()
    expect([ran.status, files.length, new Set(files.map(({ outcome }) => outcome))]).toEqual([
      ...[0, 10_000, new Set(['queued'])],
    ])
    expect((await queue.getWaitingCount()) - before).toBe(10_000)
    const status = (await world.inProcess(['status', '--batch', batchId, '--json'])).json<Batch>()
    expect(status).toMatchObject({ accepted: 10_000, finished: 0, batch: { expected: 10_000 } })
    expect(status.byState).toMatchObject({ QUEUED: 10_000, STORED: 0, DEAD: 0 })
    const text = await world.inProcess(['status', '--batch', batchId])
    expect(String(text.stdout)).toMatch(/files +10000 of 10000 announced, 0 finished/)
  })

  it.each([
    ['nope', 4, 'SOURCE_MISSING'],
    ['fifo', 1, 'SOURCE_NOT_REGULAR'],
    ['out', 1, 'SOURCE_OUTSIDE_ROOT'],
    ['/etc/passwd', 1, 'SOURCE_OUTSIDE_ROOT'],
    ['../../..', 1, 'SOURCE_OUTSIDE_ROOT'],
    ['*.nothing', 4, 'SOURCE_MISSING'],
  ])('refuses %s with status %i and code %s, as JSON on standard output', async (source, status, code) => {
    const ran = await world.inProcess(['enqueue', 'a.txt', source, '--json'])
    expect([ran.status, ran.json<Report>().error?.code, ran.stderr]).toEqual([status, code, ''])
  })

  it.each([
    [['enqueue']],
    [['enqueue', 'a.txt', '--context', 'a', '--context-hex', '00']],
    [['enqueue', 'a.txt', 'sub/b.txt', '--id', 'x']],
    [['enqueue', 'a.txt', '--nonsense']],
    [['list', '--limit', '0']],
    [['nonsense']],
  ])('takes %j for a usage error: status 2', async (args) => {
    const ran = await world.inProcess([...args, '--json'])
    expect([ran.status, ran.json<Report>().error?.code]).toEqual([2, 'USAGE'])
  })

  it('names a variable that is not set and what it wants', async () => {
    const ran = await world.inProcess(['enqueue', 'a.txt'], { env: { SEALFLEET_ROOTS: undefined } })
    expect(ran.status).toBe(2)
    expect(ran.stderr).toMatch(/CONFIG_INVALID: SEALFLEET_ROOTS is not set\. It wants name=/)
  })

  it('ends with 6 when Redis is out of reach; what Postgres accepted gets its job when asked again', async () => {
    await writeFile(path.join(world.data, 'late.txt'), 'late')
    const down = await world.inProcess(['enqueue', 'late.txt', '--json'], {
      env: { SEALFLEET_REDIS_URL: 'redis://127.0.0.1:1' },
    })
    expect([down.status, down.json<Report>().error?.code]).toEqual([6, 'REDIS_UNAVAILABLE'])
    const up = await world.inProcess(['enqueue', 'late.txt', '--json'])
    expect(up.json<Report>().files[0]?.outcome).toBe('queued')
  })

  it('pauses and resumes the intake', async () => {
    await world.inProcess(['queue', 'pause', '--dry-run'])
    expect(await queue.isPaused()).toBe(false)
    await world.inProcess(['queue', 'pause'])
    expect(await queue.isPaused()).toBe(true)
    const status = (await world.inProcess(['queue', 'status', '--json'])).json<{
      queues: { queue: string; paused: boolean }[]
    }>()
    expect(status.queues.find((one) => one.queue === 'ingest')?.paused).toBe(true)
    await world.inProcess(['queue', 'resume'])
    expect(await queue.isPaused()).toBe(false)
  })
})

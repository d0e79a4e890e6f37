import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { QUEUES } from '@sealfleet/queue'
import { recordRefusal } from '@sealfleet/records/files'
import { openRecords } from '@sealfleet/records'
import { Queue } from 'bullmq'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Letter {
  readonly id: string
  readonly fileId: string
  readonly code: string
  readonly state: string
}
interface Replay {
  readonly chosen: number
  readonly replayed: number
  readonly jobRestored: number
  readonly resolvedBefore: number
  readonly refusedRequests: number
  readonly stored: number
  readonly diedAgain: number
  readonly stopped: string | null
  readonly left: number
}

const NAMES = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'].map((name) => `${name}.txt`)

let world: World
let worker: AsyncDisposable
let queue: Queue
beforeAll(async () => {
  world = await createWorld()
  queue = new Queue(QUEUES.ingest, {
    connection: { url: world.env['SEALFLEET_REDIS_URL'] ?? '' },
    prefix: world.env['SEALFLEET_QUEUE_PREFIX'] ?? '',
  })
  await world.inProcess(['keys', 'init'])
  // Enqueued, and gone before any worker looks: eight real dead letters.
  for (const name of NAMES) await writeFile(path.join(world.data, name), name)
  await world.inProcess(['enqueue', '.'])
  for (const name of NAMES) await rm(path.join(world.data, name))
  worker = await world.worker()
  await vi.waitFor(allDead, { timeout: 60_000, interval: 200 })
}, 120_000)
afterAll(async () => {
  await worker[Symbol.asyncDispose]()
  await queue.obliterate({ force: true })
  await queue.close()
  await world[Symbol.asyncDispose]()
})

async function letters(...filter: string[]): Promise<readonly Letter[]> {
  return (await world.inProcess(['dlq', 'ls', ...filter, '--json'])).json<{ letters: Letter[] }>().letters
}

async function allDead(): Promise<void> {
  expect(await letters()).toHaveLength(NAMES.length)
}

async function replay(...args: string[]): Promise<{ status: number | null; report: Replay }> {
  const ran = await world.inProcess(['dlq', 'replay', ...args, '--json'])
  return { status: ran.status, report: ran.json<Replay>() }
}

describe('sealfleet dlq', () => {
  it('lists by code, class, age and domain, and shows one with its source and history', async () => {
    const [first] = await letters('--code', 'source_missing', '--class', 'permanent-source', '--domain', 'default')
    expect(await letters('--code', 'SOURCE_BUSY')).toEqual([])
    expect(await letters('--older-than', '1d')).toEqual([])
    expect(await letters('--newer-than', '1d')).toHaveLength(NAMES.length)
    const shown = await world.sealfleet(['dlq', 'show', first?.fileId ?? ''])
    expect(shown.stdout.toString()).toMatch(/SOURCE_MISSING[\s\S]*data:\w+\.txt[\s\S]*runbook/)
    expect((await world.inProcess(['dlq', 'show', 'nothing'])).status).toBe(4)
  })

  it.each([
    [['dlq', 'replay']],
    [['dlq', 'discard', '--all']],
    [['dlq', 'discard', '--all', '--reason', ' ']],
    [['dlq', 'replay', 'x', '--all']],
    [['dlq', 'ls', '--code', 'NONSENSE']],
    [['dlq', 'ls', '--older-than', 'yesterday']],
    [['dlq', 'replay', '--all', '--rate', '0']],
  ])('takes %j for a usage error: status 2', async (args) => {
    expect((await world.inProcess([...args, '--json'])).status).toBe(2)
  })

  it('changes nothing on a dry run', async () => {
    for (const verb of [['replay'], ['discard', '--reason', 'no']]) {
      const done = verb[0] === 'replay' ? { replayed: 3, refusedRequests: 0 } : { discarded: 3, resolvedBefore: 0 }
      const ran = await world.inProcess(['dlq', ...verb, '--all', '--max', '3', '--dry-run', '--json'])
      expect(ran.json<{ chosen: number; codes: object }>()).toMatchObject({
        chosen: 3,
        codes: { SOURCE_MISSING: 3 },
        ...done,
      })
    }
    expect(await letters()).toHaveLength(NAMES.length)
  })

  it('fails when it was to wait and one died again', async () => {
    const [first] = await letters()
    expect(await replay(first!.id, '--wait')).toMatchObject({ status: 1, report: { replayed: 1, diedAgain: 1 } })
  })

  it('stops when too many of the replayed die again, and leaves the rest', async () => {
    const { status, report } = await replay('--all', '--in-flight', '1', '--rate', '1000')
    expect(status).toBe(1)
    expect(report).toMatchObject({ chosen: NAMES.length, stored: 0 })
    expect(report.stopped).toMatch(/died again/)
    expect(report.left).toBeGreaterThan(0)
    expect(report.replayed + report.left).toBe(NAMES.length)
  })

  it('replays by filter: with the sources back, all are stored', async () => {
    // The last one of the stopped replay may still be under way: it has to die before its source is back.
    await vi.waitFor(allDead, { timeout: 60_000, interval: 200 })
    for (const name of NAMES) await writeFile(path.join(world.data, name), name)
    const kept = (await letters()).slice(0, 2)
    await queue.pause()
    const two = await replay(kept[0]!.id, kept[1]!.fileId, '--reason', 'they are back')
    expect(two).toMatchObject({ status: 0, report: { replayed: 2 } })
    // Between the record and the job the command may die: asked again, the job comes back.
    await queue.remove((await queue.getJobs(['waiting']))[0]!.id!)
    const before = await replay(kept[0]!.id, kept[1]!.id, '--dry-run')
    expect(before.report).toMatchObject({ replayed: 0, jobRestored: 1, resolvedBefore: 1 })
    const again = await replay(kept[0]!.id, kept[1]!.id)
    expect(again.report).toMatchObject({ replayed: 0, jobRestored: 1, resolvedBefore: 1 })
    await queue.resume()
    const rest = await replay('--code', 'SOURCE_MISSING', '--wait', '--rate', '1000')
    expect(rest).toMatchObject({ status: 0, report: { replayed: NAMES.length - 2, stored: NAMES.length - 2 } })
    const out = path.join(world.dir, 'restored')
    await mkdir(out)
    await vi.waitFor(
      async () => {
        const stored = await world.inProcess(['list', '--state', 'stored', '--json'])
        expect(stored.json<{ files: unknown[] }>().files).toHaveLength(NAMES.length)
      },
      { timeout: 60_000, interval: 200 },
    )
    expect((await world.inProcess(['restore', '--all', '-o', out])).status).toBe(0)
    for (const name of NAMES) expect(await readFile(path.join(out, name), 'utf8')).toBe(name)
  })

  it('discards a refused request, which cannot be replayed', async () => {
    await using records = await openRecords(world.databaseUrl)
    const refused = { code: 'PAYLOAD_INVALID', class: 'permanent-request', reason: 'no source' }
    await recordRefusal(records, { ...refused, jobId: 'refused-1' })
    const [letter] = await letters('--code', 'PAYLOAD_INVALID')
    const named = (report: object) => ({ status: 1, report })
    const { report: foretold, status } = await replay(letter!.id, '--dry-run')
    expect({ status, report: foretold }).toMatchObject(named({ refusedRequests: 1, replayed: 0, dryRun: true }))
    const { report: done, ...run } = await replay(letter!.id)
    expect({ ...run, report: done }).toMatchObject(named({ refusedRequests: 1, replayed: 0 }))
    // A dry run's document is the run's, and what it adds.
    expect(foretold).toMatchObject(done)
    const ran = await world.sealfleet(['dlq', 'discard', letter!.id, '--reason', 'upstream repaired it'])
    expect([ran.status, ran.stdout.toString()]).toEqual([0, '1 dead letter discarded\n'])
    expect(await letters()).toEqual([])
    const again = await world.inProcess(['dlq', 'discard', letter!.id, '--reason', 'twice'])
    expect(again.status).toBe(1)
    expect(await letters('--state', 'discarded')).toMatchObject([{ id: letter!.id, state: 'DISCARDED' }])
  })
})

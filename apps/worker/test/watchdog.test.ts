import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { createIngestQueue, openIngestClient, connectProducer } from '@sealfleet/queue'
import { acceptFiles, getFile } from '@sealfleet/records/files'
import { every, freshPrefix, longTest, matrix, redisUrl, startFaultProxy, startTcpGate } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe } from 'vitest'

import { freePort } from '../../../tools/lib/ports.mjs'
import { startFleet, type Fleet } from './fleet.js'

const DOOMED = fileURLToPath(new URL('../../../bundle/test-crash-worker.mjs', import.meta.url))
/** The shortest there is; the mechanism is the same at ten minutes. */
const LIMIT_MS = 5_000
const SETTINGS = {
  SEALFLEET_WATCHDOG_SECONDS: String(LIMIT_MS / 1000),
  SEALFLEET_LEASE_SECONDS: '2',
  SEALFLEET_LEASE_RENEW_SECONDS: '1',
  SEALFLEET_HSM_AGENTS: '1',
  SEALFLEET_HSM_SESSIONS: '2',
  SEALFLEET_CONCURRENCY: '2',
}

interface Line {
  readonly msg: string
  readonly level: number
  readonly code?: string
  readonly jobId?: string
  readonly inFlight?: number
  readonly count?: number
}

/** A worker process of its own queue, which may hang at one point of an attempt. */
class Watched implements AsyncDisposable {
  readonly child: ChildProcess
  readonly lines: Line[] = []
  readonly exit: Promise<number | null>

  constructor(fleet: Fleet, env: NodeJS.ProcessEnv, point = 'never') {
    this.child = spawn(process.execPath, [DOOMED, 'hang', point], {
      env: { ...process.env, ...fleet.env, ...fleet.token.env, ...SETTINGS, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.exit = once(this.child, 'close').then(([code]) => code as number | null)
    if (this.child.stdout === null) throw new Error('no standard output')
    createInterface(this.child.stdout).on('line', (line) => this.lines.push(JSON.parse(line) as Line))
  }

  said(message: string): boolean {
    return this.lines.some(({ msg }) => msg === message)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exit
  }
}

describe('the watchdog', () => {
  let fleet: Fleet

  beforeAll(async () => {
    fleet = await startFleet({ s3: 'radosgw' })
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  const producerOn = (prefix: string) =>
    openIngestClient({
      redisUrl: redisUrl(),
      prefix,
      accept: (files) => acceptFiles(fleet.records, files),
    })

  const stateOf = async (id: string) => (await getFile(fleet.records, id))?.file.state

  matrix(['after:upload', 'before:open-source', 'before:commit'], every(3))(
    'ends a worker whose job hangs forever at %s, and another stores the file',
    { concurrent: true },
    async (point, { expect }) => {
      const SEALFLEET_QUEUE_PREFIX = freshPrefix()
      const name = `hang-${point.replace(':', '-')}`
      const content = randomBytes(100_000)
      await fleet.writeSource(name, content)
      await using producer = await producerOn(SEALFLEET_QUEUE_PREFIX)
      const { fileId = '' } = await producer.client.enqueue({ root: 'in', path: name })
      await using hanging = new Watched(fleet, { SEALFLEET_QUEUE_PREFIX }, point)
      expect(await hanging.exit).toBe(7)
      expect(hanging.lines.at(-1)).toMatchObject({ level: 60, code: 'WEDGED', inFlight: 1, count: 0 })
      expect(hanging.lines.filter(({ code, level }) => code === 'WEDGED' && level === 50)).toMatchObject([
        { jobId: `f-${fileId}-g1` },
      ])
      await using _other = await fleet.startWorker({ env: { ...SETTINGS, SEALFLEET_QUEUE_PREFIX } })
      expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
      expect((await fleet.restore(fileId)).equals(content)).toBe(true)
    },
  )

  longTest('ends a worker that hangs beside a busy one', { concurrent: true }, async ({ expect }) => {
    const SEALFLEET_QUEUE_PREFIX = freshPrefix()
    await using producer = await producerOn(SEALFLEET_QUEUE_PREFIX)
    await fleet.writeSource('busy', 'busy')
    const first = await producer.client.enqueue({ root: 'in', path: 'busy', id: 'busy-0' })
    await using hanging = new Watched(fleet, { SEALFLEET_QUEUE_PREFIX, SEALFLEET_CONCURRENCY: '1' }, 'after:claim')
    await expect.poll(() => stateOf(first.fileId ?? ''), { timeout: 60_000 }).toBe('RUNNING')
    await using _busy = await fleet.startWorker({ env: { ...SETTINGS, SEALFLEET_QUEUE_PREFIX } })
    let ended = false
    const exit = hanging.exit.finally(() => (ended = true))
    for (let i = 1; !ended && i < 1_000; i += 1) {
      const next = await producer.client.enqueue({ root: 'in', path: 'busy', id: `busy-${i}` })
      await fleet.settled([next.fileId ?? ''])
    }
    expect(await exit).toBe(7)
  })

  longTest(
    'ends a worker that no longer asks for jobs, though it has none',
    { concurrent: true },
    async ({ expect }) => {
      const SEALFLEET_QUEUE_PREFIX = freshPrefix()
      await using worker = await fleet.startWorker({ env: { ...SETTINGS, SEALFLEET_QUEUE_PREFIX } })
      // What a main loop that has died looks like from outside: no one of ours has paused it.
      await worker.ingest.worker.pause(true)
      await using producer = await producerOn(SEALFLEET_QUEUE_PREFIX)
      await fleet.writeSource('unasked', 'unasked')
      await producer.client.enqueueMany([{ root: 'in', path: 'unasked' }])
      await producer.client.enqueueMany([{ root: 'in', path: 'unasked', id: 'again' }])
      expect(await worker.lost).toBe(7)
    },
  )

  longTest('lets a slow upload go on that moves', { concurrent: true }, async ({ expect }) => {
    const SEALFLEET_QUEUE_PREFIX = freshPrefix()
    await using slow = await startFaultProxy(fleet.bucket.endpoint)
    slow.inject('UploadPart', { kind: 'delay', ms: LIMIT_MS * 0.6 })
    await fleet.writeSource('slow', randomBytes(5 * 2 ** 20 * 4))
    await using producer = await producerOn(SEALFLEET_QUEUE_PREFIX)
    await using worker = new Watched(fleet, {
      SEALFLEET_QUEUE_PREFIX,
      SEALFLEET_S3_ENDPOINT: slow.endpoint,
      SEALFLEET_S3_PART_SIZE: '5MiB',
      SEALFLEET_PARTS_IN_FLIGHT: '1',
    })
    const { fileId = '' } = await producer.client.enqueue({ root: 'in', path: 'slow' })
    expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
    expect(slow.seen.filter(({ operation }) => operation === 'UploadPart').length).toBeGreaterThanOrEqual(4)
    expect(worker.child.exitCode).toBeNull()
  })

  longTest(
    'lets a worker idle, one whose queue is paused, and one that loses Redis',
    { concurrent: true },
    async ({ expect }) => {
      const idle = { SEALFLEET_QUEUE_PREFIX: freshPrefix() }
      const paused = { SEALFLEET_QUEUE_PREFIX: freshPrefix() }
      const lost = { SEALFLEET_QUEUE_PREFIX: freshPrefix() }
      await using redis = await startTcpGate(redisUrl(), await freePort())
      await using idler = new Watched(fleet, idle)
      await using pauser = new Watched(fleet, paused)
      await using loser = new Watched(fleet, { ...lost, SEALFLEET_REDIS_URL: redis.url })
      const workers = [idler, pauser, loser]
      await expect.poll(() => workers.every((one) => one.said('taking jobs')), { timeout: 60_000 }).toBe(true)

      const connection = await connectProducer(redisUrl())
      const queue = createIngestQueue(connection, { prefix: paused.SEALFLEET_QUEUE_PREFIX })
      await queue.pause()
      await redis.shut()
      const ids: string[] = []
      for (const [name, { SEALFLEET_QUEUE_PREFIX }] of Object.entries({ paused, lost })) {
        await using producer = await producerOn(SEALFLEET_QUEUE_PREFIX)
        await fleet.writeSource(name, name)
        ids.push((await producer.client.enqueue({ root: 'in', path: name })).fileId ?? '')
      }
      // A worker that hangs, started later, is ended: so long the others have had.
      const hanging = freshPrefix()
      await fleet.writeSource('hanging', 'hanging')
      await using producer = await producerOn(hanging)
      await producer.client.enqueue({ root: 'in', path: 'hanging' })
      await using witness = new Watched(fleet, { SEALFLEET_QUEUE_PREFIX: hanging }, 'before:claim')
      expect(await witness.exit).toBe(7)
      expect(workers.map(({ child }) => child.exitCode)).toEqual([null, null, null])
      expect(await Promise.all(ids.map(stateOf))).toEqual(['QUEUED', 'QUEUED'])
      await queue.resume()
      await redis.open()
      const states = await fleet.settled(ids)
      expect(ids.map((id) => states.get(id)?.state)).toEqual(['STORED', 'STORED'])
      await queue.close()
      connection.disconnect()
    },
  )
})

import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'

import { clearPinLockout, listPinLockouts } from '@sealfleet/records/keys'
import { getFile } from '@sealfleet/records/files'
import { openRecords } from '@sealfleet/records'
import { every, freshDatabase, freshPrefix, longTest, matrix } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { freePort } from '../../../tools/lib/ports.mjs'
import { startFleet, type Fleet } from './fleet.js'
import { WorkerProcess } from './worker-process.js'

describe('the worker process', () => {
  let fleet: Fleet
  let base: NodeJS.ProcessEnv

  beforeAll(async () => {
    fleet = await startFleet()
    base = { PATH: process.env['PATH'], ...fleet.env, ...fleet.token.env, SEALFLEET_HSM_AGENTS: '1' }
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  test('without configuration names every variable it wants, and exits with 2', async () => {
    const worker = new WorkerProcess({ PATH: process.env['PATH'], SEALFLEET_REDIS_URL: '' })
    expect(await worker.exit).toBe(2)
    for (const name of ['DATABASE_URL', 'REDIS_URL', 'S3_BUCKET', 'PKCS11_MODULE', 'PKCS11_PIN', 'ROOTS']) {
      expect(worker.errors).toContain(`SEALFLEET_${name}`)
    }
  })

  const obstacles: readonly [string, string, () => Promise<NodeJS.ProcessEnv>][] = [
    [
      'wrong PIN',
      'HSM_ACCESS_DENIED',
      async () => {
        const file = path.join(fleet.root, 'wrong-pin')
        await writeFile(file, '00000000', { mode: 0o600 })
        return { SEALFLEET_PKCS11_PIN_FILE: file, SEALFLEET_PKCS11_PIN_ID: 'wrong' }
      },
    ],
    ['missing token', 'HSM_UNAVAILABLE', () => Promise.resolve({ SEALFLEET_PKCS11_TOKEN: 'no-such-token' })],
    ['wrong S3 secret', 'S3_ACCESS_DENIED', () => Promise.resolve({ SEALFLEET_S3_SECRET_ACCESS_KEY: 'wrong' })],
    ['missing bucket', 'S3_NO_BUCKET', () => Promise.resolve({ SEALFLEET_S3_BUCKET: 'sf-no-such-bucket' })],
    [
      'S3 server out of reach',
      'S3_UNAVAILABLE',
      async () => ({ SEALFLEET_S3_ENDPOINT: `http://127.0.0.1:${await freePort()}`, SEALFLEET_S3_MAX_ATTEMPTS: '1' }),
    ],
    [
      'database out of reach',
      'DB_UNAVAILABLE',
      async () => ({ SEALFLEET_DATABASE_URL: `postgresql://u:p@127.0.0.1:${await freePort()}/sealfleet` }),
    ],
    ['database without tables', 'DB_SCHEMA', async () => ({ SEALFLEET_DATABASE_URL: (await emptyDatabase()).url })],
    [
      'Redis out of reach',
      'REDIS_UNAVAILABLE',
      async () => ({ SEALFLEET_REDIS_URL: `redis://127.0.0.1:${await freePort()}` }),
    ],
  ]
  matrix(obstacles, every(3))('%s: exits at once with %s and what to do', async ([, code, change]) => {
    // s3rver takes any secret; only a real server can refuse one.
    const real = code === 'S3_ACCESS_DENIED' ? await radosgwEnvironment() : {}
    const worker = new WorkerProcess({ ...base, ...real, ...(await change()) })
    const status = await worker.exit
    const last = worker.lines.at(-1)
    expect({ code: last?.code, level: last?.level }).toEqual({ code, level: 60 })
    expect(last?.msg).toMatch(/cannot continue: .+/)
    expect(status).toBe(6)
  })

  test.each(['worker', 'maintenance'] as const)('the last line of a %s has the error’s own advice', async (program) => {
    const env = { ...base, SEALFLEET_DATABASE_URL: (await emptyDatabase()).url }
    await using started = new WorkerProcess(env, program)
    expect(await started.exit).toBe(6)
    expect(started.lines.at(-1)?.msg).toBe(`the ${program} cannot continue: run \`npm run migrate\``)
  })

  longTest('a PIN that the token rejected once is not tried by the next process, until it gets a new id', async () => {
    const lockedOut = { ...base, SEALFLEET_PKCS11_PIN_ID: 'wrong' }
    const second = new WorkerProcess(lockedOut)
    expect(await second.exit).toBe(6)
    expect(second.lines.at(-1)?.err?.message).toContain('was rejected before')
    const corrected = new WorkerProcess({ ...lockedOut, SEALFLEET_PKCS11_PIN_ID: 'corrected' })
    await corrected.saying('taking jobs')
    corrected.child.kill('SIGTERM')
    expect(await corrected.exit).toBe(0)
  })

  longTest('nor by any process until its lockout is reset', async () => {
    await using records = await openRecords(base['SEALFLEET_DATABASE_URL'] ?? '')
    const rejected = (await listPinLockouts(records)).find(({ pinId }) => pinId === 'wrong')
    expect(rejected?.state).toBe('rejected')
    expect(await clearPinLockout(records, rejected!)).toBe(true)
    const reset = new WorkerProcess({ ...base, SEALFLEET_PKCS11_PIN_ID: 'wrong' })
    await reset.saying('taking jobs')
    reset.child.kill('SIGTERM')
    expect(await reset.exit).toBe(0)
  })

  test('SIGTERM while the worker still starts: it closes what it opened and exits 0', async () => {
    // The first sign of life is a log line of the start itself, before any job is taken.
    const worker = new WorkerProcess({ ...base, SEALFLEET_LOG_LEVEL: 'info' })
    await worker.saying('HSM agent ready')
    worker.child.kill('SIGTERM')
    expect(await worker.exit).toBe(0)
    expect(worker.lines.at(-1)?.msg).toBe('stopped')
  })

  test('SIGTERM: gives running files back without burning an attempt, exits 0, and another worker stores them', async () => {
    const env = { ...base, SEALFLEET_QUEUE_PREFIX: String(fleet.env['SEALFLEET_QUEUE_PREFIX']) }
    const content = randomBytes(12 * 2 ** 20)
    const names = Array.from({ length: 12 }, (_, i) => `drain-${i}`)
    for (const name of names) await fleet.writeSource(name, content)
    const first = new WorkerProcess({ ...env, SEALFLEET_SHUTDOWN_GRACE_SECONDS: '0', SEALFLEET_CONCURRENCY: '4' })
    await first.saying('taking jobs')
    const results = await fleet.producer.client.enqueueMany(names.map((name) => ({ root: 'in', path: name })))
    await first.saying('stored')
    first.child.kill('SIGTERM')
    expect(await first.exit).toBe(0)
    await using _second = await fleet.startWorker()
    const ids = results.map(({ fileId }) => fileId ?? '')
    const states = await fleet.settled(ids)
    expect(new Set([...states.values()].map(({ state }) => state))).toEqual(new Set(['STORED']))
    const files = await Promise.all(ids.map((id) => getFile(fleet.records, id)))
    expect(files.map((found) => found?.file.crashes)).toEqual(ids.map(() => 0))
    expect((await fleet.restore(ids.at(-1) ?? '')).equals(content)).toBe(true)
  })

  test('a job of the wrong shape is refused, recorded as a dead letter, and harms no other job', async () => {
    await using _worker = await fleet.startWorker()
    const { queue } = fleet.producer
    const bad = await queue.add('ingest', { v: 1, fileId: '../../etc/passwd', domain: 'default' } as never)
    const foreign = await queue.add('ingest', {
      v: 1,
      fileId: '0190b3c0-0000-7000-8000-0000000000aa',
      domain: '0190b3c0-0000-7000-8000-0000000000bb',
      source: { root: 'in', path: 'drain-0' },
      generation: 1,
    })
    await fleet.writeSource('good', 'good')
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: 'good' })
    expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
    for (const job of [bad, foreign]) {
      await expect.poll(() => job.getState(), { timeout: 60_000 }).toBe('failed')
      expect((await queue.getJob(job.id ?? ''))?.failedReason).toMatch(/^PAYLOAD_INVALID: /)
    }
  })

  const disposables: AsyncDisposable[] = []
  afterAll(async () => {
    for (const thing of disposables) await thing[Symbol.asyncDispose]()
  })
  async function emptyDatabase() {
    const database = await freshDatabase({ schema: 'empty' })
    disposables.push(database)
    return database
  }
  async function radosgwEnvironment(): Promise<NodeJS.ProcessEnv> {
    const { freshBucket } = await import('@sealfleet/testkit')
    const bucket = await freshBucket('radosgw')
    disposables.push(bucket)
    return {
      SEALFLEET_S3_ENDPOINT: bucket.endpoint,
      SEALFLEET_S3_BUCKET: bucket.bucket,
      SEALFLEET_S3_ACCESS_KEY_ID: bucket.accessKeyId,
      SEALFLEET_QUEUE_PREFIX: freshPrefix(),
    }
  }
})

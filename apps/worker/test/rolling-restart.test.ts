/**
 * That a stopped worker loses nothing is proved by process.test.ts and kill.test.ts; here a whole fleet is exchanged.
 *
 * @module-tag long
 */
import { randomBytes } from 'node:crypto'

import { fileBalance, traceFile } from '@sealfleet/records/files'
import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { startFleet, type Fleet } from './fleet.js'
import { WorkerProcess } from './worker-process.js'

const FILES = 240
const GRACE = { SEALFLEET_SHUTDOWN_GRACE_SECONDS: '0', SEALFLEET_HSM_AGENTS: '1', SEALFLEET_CONCURRENCY: '6' }

describe('a rolling restart of all workers under load', () => {
  let fleet: Fleet
  let env: NodeJS.ProcessEnv
  beforeAll(async () => {
    fleet = await startFleet()
    env = { PATH: process.env['PATH'], ...fleet.env, ...fleet.token.env, ...GRACE }
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  test('loses nothing, burns no attempt and makes no dead letter, even when no worker is given a grace', async () => {
    const contents = Array.from({ length: FILES }, (_, i) => randomBytes(i % 12 === 0 ? 6 * 2 ** 20 : 1 + i * 997))
    for (const [i, content] of contents.entries()) await fleet.writeSource(`file-${i}`, content)
    const workers = Array.from({ length: 3 }, () => new WorkerProcess(env))
    for (const worker of workers) await worker.saying('taking jobs')
    const requests = contents.map((_, i) => ({ root: 'in', path: `file-${i}` }))
    const ids = (await fleet.producer.client.enqueueMany(requests)).map(({ fileId = '' }) => fileId)

    const restarted: WorkerProcess[] = []
    for (const worker of workers) {
      await worker.saying('stored')
      worker.child.kill('SIGTERM')
      expect(await worker.exit).toBe(0)
      expect(worker.lines.at(-1)?.msg).toBe('stopped')
      const next = new WorkerProcess(env)
      restarted.push(next)
      await next.saying('taking jobs')
    }

    const states = await fleet.settled(ids)
    expect([...states.values()].filter(({ state }) => state !== 'STORED')).toEqual([])
    const traces = await Promise.all(ids.map((id) => traceFile(fleet.records, id)))
    const given = traces.flatMap((trace) => trace?.failures ?? [])
    // Who was interrupted gave the file back; that is all that is in any file's history.
    expect(given.filter(({ code, disposition }) => code !== 'SHUTDOWN' || disposition !== 'release')).toEqual([])
    expect(given.length).toBeGreaterThan(0)
    for (const trace of traces) {
      expect(trace?.attempts.filter(({ state }) => state === 'COMMITTED')).toHaveLength(1)
      expect(trace?.file.crashes).toBe(0)
      expect(trace?.deadLetters).toEqual([])
    }
    expect(await fileBalance(fleet.records)).toMatchObject({ accepted: FILES, difference: 0, orphanedAttempts: 0 })
    for (const i of [0, 12, FILES - 1]) {
      const content = contents[i] ?? Buffer.alloc(0)
      expect((await fleet.restore(ids[i] ?? '')).equals(content)).toBe(true)
    }

    for (const worker of restarted) worker.child.kill('SIGTERM')
    expect(await Promise.all(restarted.map(({ exit }) => exit))).toEqual([0, 0, 0])
  })
})

describe('a worker told twice to stop', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet()
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  longTest('ends at once, and another stores what it had', async () => {
    await fleet.writeSource('big', randomBytes(48 * 2 ** 20))
    const worker = new WorkerProcess({
      ...{ PATH: process.env['PATH'], ...fleet.env, ...fleet.token.env, ...GRACE },
      SEALFLEET_SHUTDOWN_GRACE_SECONDS: '3600',
      SEALFLEET_LEASE_SECONDS: '2',
      SEALFLEET_LEASE_RENEW_SECONDS: '1',
    })
    await worker.saying('taking jobs')
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: 'big' })
    await expect.poll(async () => (await traceFile(fleet.records, fileId))?.attempts.length, { interval: 5 }).toBe(1)
    worker.child.kill('SIGTERM')
    await worker.saying('draining')
    worker.child.kill('SIGTERM')
    expect(await worker.exit).toBe(1)
    await using _next = await fleet.startWorker({
      env: { SEALFLEET_LEASE_SECONDS: '2', SEALFLEET_LEASE_RENEW_SECONDS: '1' },
    })
    expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
  })
})

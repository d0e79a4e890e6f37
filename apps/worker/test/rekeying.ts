import type { RekeyDependencies } from '@sealfleet/attempts'
import { createRekeyQueue, connectProducer, type RekeyQueue } from '@sealfleet/queue'
import { getRekeyRun, rekeyCounts, startRekeyRun, type RekeyRun } from '@sealfleet/records/rekey'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { redisUrl } from '@sealfleet/testkit'
import pg from 'pg'
import { expect } from 'vitest'

import { runRekeyDispatcher, type RekeyDispatcherOptions } from '../../maintenance/src/rekey-dispatcher.js'
import type { Fleet } from './fleet.js'

export interface Dispatcher extends AsyncDisposable {
  readonly queue: RekeyQueue
}

/** The dispatcher of a maintenance process, in this one; its rounds are quick. */
export async function startDispatcher(
  fleet: Fleet,
  options: Partial<RekeyDispatcherOptions> & { prefix?: string } = {},
): Promise<Dispatcher> {
  const redis = await connectProducer(redisUrl())
  const queue = createRekeyQueue(redis, { prefix: options.prefix ?? String(fleet.env['SEALFLEET_QUEUE_PREFIX']) })
  const stop = new AbortController()
  const running = runRekeyDispatcher(
    {
      records: fleet.records,
      queue,
      metrics: createMetrics({ processMetrics: false }),
      log: createLogger({
        name: 'maintenance',
        level: 'debug',
        destination: { write: (line) => void fleet.logs.push(line) },
      }),
      actor: 'maintenance:test',
    },
    { everyMs: 50, ...options },
    stop.signal,
  )
  return {
    queue,
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error('the test is over'))
      await running
      await queue.close()
      redis.disconnect()
    },
  }
}

export async function startRun(
  fleet: Fleet,
  o: { domain?: string; fromVersion?: number; filesPerSecond?: number } = {},
): Promise<RekeyRun> {
  const { domain = 'default', fromVersion = 1, filesPerSecond } = o
  return (await startRekeyRun(fleet.records, { domain, fromVersion, filesPerSecond, createdBy: 'test' })).run
}

export async function runDone(fleet: Fleet, run: Pick<RekeyRun, 'id'>, timeout = 60_000): Promise<void> {
  await expect
    .poll(async () => (await getRekeyRun(fleet.records, run.id)).state, { timeout, interval: 50 })
    .toBe('DONE')
}

export const itemsOf = async (fleet: Fleet, run: Pick<RekeyRun, 'id'>) =>
  (await rekeyCounts(fleet.records, run.id)).items

/** Connections past the statements under test. */
export function directly(fleet: Fleet): pg.Pool {
  const pool = new pg.Pool({ connectionString: fleet.database.url, max: 2 })
  pool.on('connect', (client) => client.on('error', () => undefined)) // the database is dropped by force at the end
  pool.on('error', () => undefined)
  return pool
}

/** What sealing a stored file again needs, for doing it without a queue. */
export function rekeyPorts(fleet: Fleet, o: Partial<RekeyDependencies> = {}): RekeyDependencies {
  const { hsm, store } = fleet.ports
  return { ...fleet.ports, opener: hsm, storeOf: () => Promise.resolve(store), ...o }
}

/** Stores files of these names with what they hold; resolves with their ids when they are all STORED. Needs a worker. */
export async function storeAll(
  fleet: Fleet,
  contents: ReadonlyMap<string, Buffer>,
  domain = 'default',
): Promise<ReadonlyMap<string, string>> {
  const ids = new Map<string, string>()
  for (const [path, content] of contents) {
    await fleet.writeSource(path, content)
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path, domain })
    ids.set(path, fileId)
  }
  const states = await fleet.settled([...ids.values()])
  expect([...states.values()].filter(({ state }) => state !== 'STORED')).toEqual([])
  return ids
}

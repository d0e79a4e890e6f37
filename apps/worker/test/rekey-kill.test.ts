import { REKEY_STEPS } from '@sealfleet/attempts'
import { randomBytes } from 'node:crypto'

import { addRekeyJobs, connectProducer, createRekeyQueue } from '@sealfleet/queue'
import { fileBalance, getFile } from '@sealfleet/records/files'
import { createRekeyItems, type RekeyRun } from '@sealfleet/records/rekey'
import { freshPrefix, matrix, redisUrl } from '@sealfleet/testkit'
import type pg from 'pg'
import { afterAll, beforeAll, describe } from 'vitest'

import { startDoomed } from './doomed.js'
import { makeKeys } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'
import { directly, startRun, storeAll } from './rekeying.js'

/** Short, so that a dead worker's item comes free while the test waits; the mechanism is the same at 60 s. */
const SHORT_LEASE = { SEALFLEET_LEASE_SECONDS: '2', SEALFLEET_LEASE_RENEW_SECONDS: '1' }
const ONE_AGENT = { SEALFLEET_HSM_AGENTS: '1', SEALFLEET_HSM_SESSIONS: '2' }

const points = REKEY_STEPS.flatMap((step) =>
  step === 'wipe' ? [`after:rekey-${step}`] : [`before:rekey-${step}`, `after:rekey-${step}`],
)

/** Each state in which a dead worker can leave an item; the other points leave one of these. */
const EACH_STATE = ['after:rekey-claim', 'after:rekey-nonces', 'before:rekey-commit', 'after:rekey-commit']

describe('a worker killed with SIGKILL while it seals a file again', () => {
  let fleet: Fleet
  let db: pg.Pool
  let run: RekeyRun
  const contents = new Map(points.map((point) => [point.replace(':', '-'), randomBytes(100_000)]))
  let ids: ReadonlyMap<string, string>

  beforeAll(async () => {
    fleet = await startFleet()
    db = directly(fleet)
    await using _worker = await fleet.startWorker({ env: ONE_AGENT })
    ids = await storeAll(fleet, contents)
    await makeKeys(fleet.records, fleet.token, { id: 'default' }, 2)
    run = await startRun(fleet)
    await createRekeyItems(fleet.records, run.id, 'test')
  })

  afterAll(async () => {
    await db?.end()
    await fleet?.[Symbol.asyncDispose]()
  })

  matrix(points, (point) => EACH_STATE.includes(point))(
    '%s: the file opens all the time, and another worker moves it, once',
    { concurrent: true, timeout: 120_000 },
    async (point, { expect }) => {
      const name = point.replace(':', '-')
      const fileId = ids.get(name) ?? ''
      const content = contents.get(name) ?? Buffer.alloc(0)
      const item = async () => {
        const { rows } = await db.query<{ id: string; state: string; tries: number }>(
          'SELECT id, state::text, tries FROM rekey_items WHERE file_id = $1 AND run_id = $2',
          [fileId, run.id],
        )
        return rows[0] ?? { id: '', state: '', tries: 0 }
      }
      // A queue of its own: each point kills the worker of its own file.
      const env = { ...SHORT_LEASE, ...ONE_AGENT, SEALFLEET_QUEUE_PREFIX: freshPrefix() }
      const redis = await connectProducer(redisUrl())
      const queue = createRekeyQueue(redis, { prefix: env.SEALFLEET_QUEUE_PREFIX })
      try {
        await addRekeyJobs(queue, [{ id: (await item()).id, tries: 0 }])
        await startDoomed(fleet, point, env)
        expect((await fleet.restore(fileId)).equals(content)).toBe(true)
        await using _survivor = await fleet.startWorker({ env })
        // As the dispatcher does: an item that came back gets a job again, which changes nothing while it has one.
        const state = async (): Promise<string> => {
          const now = await item()
          if (now.state === 'QUEUED') await addRekeyJobs(queue, [now])
          return now.state
        }
        await expect.poll(state, { timeout: 60_000, interval: 500 }).toBe('DONE')
        expect((await fleet.restore(fileId)).equals(content)).toBe(true)
        const { rows } = await db.query<{ state: string; nonce_enc: Buffer; version: number }>(
          `SELECT a.state::text, a.nonce_enc, k.version FROM attempts a JOIN master_keys k ON k.id = a.enc_key_id
         WHERE file_id = $1 ORDER BY attempt_no`,
          [fileId],
        )
        expect(rows.filter(({ state }) => state === 'COMMITTED').map(({ version }) => version)).toEqual([2])
        expect(rows.filter(({ state }) => state === 'SUPERSEDED').map(({ version }) => version)).toEqual([1])
        expect(new Set(rows.map(({ nonce_enc }) => nonce_enc.toString('hex'))).size).toBe(rows.length)
        const committedByTheDead = ['after:rekey-commit', 'after:rekey-wipe'].includes(point)
        const found = await getFile(fleet.records, fileId)
        expect(found?.file.lastAttemptNo).toBe(committedByTheDead || point === 'before:rekey-claim' ? 2 : 3)
        expect(await fileBalance(fleet.records)).toMatchObject({ difference: 0, strayCommits: 0 })
      } finally {
        await queue.close()
        redis.disconnect()
      }
    },
  )
})

import { STEPS } from '@sealfleet/attempts'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { openIngestClient } from '@sealfleet/queue'
import { acceptFiles, getFile } from '@sealfleet/records/files'
import { every, freshPrefix, matrix, redisUrl } from '@sealfleet/testkit'
import pg from 'pg'
import { afterAll, beforeAll, describe } from 'vitest'

import { startFleet, type Fleet } from './fleet.js'

/** Short, so that a dead worker's file comes free while the test waits; the mechanism is the same at 60 s. */
const SHORT_LEASE = { SEALFLEET_LEASE_SECONDS: '2', SEALFLEET_LEASE_RENEW_SECONDS: '1' }
const ONE_AGENT = { SEALFLEET_HSM_AGENTS: '1', SEALFLEET_HSM_SESSIONS: '2', SEALFLEET_CONCURRENCY: '2' }

const DOOMED = fileURLToPath(new URL('../../../bundle/test-crash-worker.mjs', import.meta.url))

describe('a worker killed with SIGKILL', () => {
  let fleet: Fleet
  let db: pg.Pool

  beforeAll(async () => {
    fleet = await startFleet()
    db = new pg.Pool({ connectionString: fleet.database.url, max: 2 })
    db.on('connect', (client) => client.on('error', () => undefined)) // the database is dropped by force at the end
  })

  afterAll(async () => {
    await db?.end()
    await fleet?.[Symbol.asyncDispose]()
  })

  /** Each state in which a dead worker can leave a file and an object; the other points leave one of these, or none. */
  const EACH_STATE = ['after:claim', 'after:nonces', 'after:upload', 'after:commit']
  const points = STEPS.flatMap((step) => (step === 'wipe' ? [`after:${step}`] : [`before:${step}`, `after:${step}`]))

  const all = matrix(points, (point) => EACH_STATE.includes(point))
  all('%s: another worker stores the file, once, whole', { concurrent: true }, async (point, { expect }) => {
    const env = { ...SHORT_LEASE, ...ONE_AGENT, SEALFLEET_QUEUE_PREFIX: freshPrefix() }
    const content = randomBytes(100_000)
    const name = point.replace(':', '-')
    await fleet.writeSource(name, content)
    await using producer = await producerOn(fleet, env.SEALFLEET_QUEUE_PREFIX)
    const { fileId = '' } = await producer.client.enqueue({ root: 'in', path: name })

    const doomed = spawn(process.execPath, [DOOMED, 'SIGKILL', point], {
      env: { ...process.env, ...fleet.env, ...fleet.token.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const [, signal] = (await once(doomed, 'exit')) as [number | null, string | null]
    expect(signal).toBe('SIGKILL')

    await using _survivor = await fleet.startWorker({ env })
    const states = await fleet.settled([fileId])
    expect(states.get(fileId)?.state).toBe('STORED')
    expect((await fleet.restore(fileId)).equals(content)).toBe(true)
    const found = await getFile(fleet.records, fileId)
    const attempts = await db.query<{ state: string; nonce_enc: Buffer }>(
      'SELECT state::text, nonce_enc FROM attempts WHERE file_id = $1 ORDER BY attempt_no',
      [fileId],
    )
    expect(attempts.rows.filter(({ state }) => state === 'COMMITTED')).toHaveLength(1)
    const nonces = new Set(attempts.rows.map(({ nonce_enc }) => nonce_enc.toString('hex')))
    expect(nonces.size).toBe(attempts.rows.length)
    const committedByTheDead = ['after:commit', 'after:wipe'].includes(point)
    expect(found?.file.lastAttemptNo).toBe(committedByTheDead || point === 'before:claim' ? 1 : 2)
    expect(found?.file.crashes).toBe(committedByTheDead || point === 'before:claim' ? 0 : 1)
  })
})

describe('a worker stopped with SIGSTOP past its lease, then continued', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet()
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  matrix(['before:commit', 'before:derive', 'after:upload', 'before:complete'], every(4))(
    '%s: finds itself fenced, commits nothing, and goes on with other files',
    { concurrent: true },
    async (point, { expect }) => {
      const env = { ...SHORT_LEASE, ...ONE_AGENT, SEALFLEET_QUEUE_PREFIX: freshPrefix() }
      const content = randomBytes(100_000)
      const name = `stop-${point.replace(':', '-')}`
      await fleet.writeSource(name, content)
      await using producer = await producerOn(fleet, env.SEALFLEET_QUEUE_PREFIX)
      const { fileId = '' } = await producer.client.enqueue({ root: 'in', path: name })
      const stopped = spawn(process.execPath, [DOOMED, 'SIGSTOP', point], {
        env: { ...process.env, ...fleet.env, ...fleet.token.env, ...env },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const lines: string[] = []
      createInterface(stopped.stdout).on('line', (line) => lines.push(line))
      await expect.poll(() => processState(stopped.pid), { timeout: 60_000 }).toBe('T')

      const survivor = await fleet.startWorker({ env })
      const states = await fleet.settled([fileId])
      expect(states.get(fileId)?.state).toBe('STORED')
      const before = await getFile(fleet.records, fileId)
      await survivor[Symbol.asyncDispose]()

      stopped.kill('SIGCONT')
      await fleet.writeSource(`${name}-next`, 'next')
      const next = await producer.client.enqueue({ root: 'in', path: `${name}-next` })
      const after = await fleet.settled([next.fileId ?? ''])
      expect(after.get(next.fileId ?? '')?.state).toBe('STORED')
      const again = await getFile(fleet.records, fileId)
      expect(again?.committed?.id).toBe(before?.committed?.id)
      expect((await fleet.restore(fileId)).equals(content)).toBe(true)
      stopped.kill('SIGTERM')
      const [code] = (await once(stopped, 'close')) as [number | null]
      expect(code).toBe(0)
      expect(lines.some((line) => (JSON.parse(line) as { msg: string }).msg === 'fenced')).toBe(true)
    },
  )
})

/** As the kernel tells it: R, S, D, T (stopped), Z. */
async function processState(pid: number | undefined): Promise<string | undefined> {
  return /^State:\s+(\S)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
}

function producerOn(fleet: Fleet, prefix: string) {
  return openIngestClient({
    redisUrl: redisUrl(),
    prefix,
    accept: (files) => acceptFiles(fleet.records, files),
  })
}

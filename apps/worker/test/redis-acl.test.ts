import { randomBytes, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { loadConfig } from '@sealfleet/config'
import { openIngestClient } from '@sealfleet/queue'
import { acceptFiles } from '@sealfleet/records/files'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { redisUrl } from '@sealfleet/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { runMaintenance } from '../../maintenance/src/run.js'
import { startFleet, type Fleet } from './fleet.js'

const RIGHTS = new URL('../../../docs/operate/rights.md', import.meta.url)

let fleet: Fleet
let admin: Redis
const user = `acl-${randomUUID()}`
const url = new URL(redisUrl())
Object.assign(url, { username: user, password: 'pass' })

beforeAll(async () => {
  fleet = await startFleet()
  admin = new Redis(redisUrl())
  const readme = await readFile(RIGHTS, 'utf8')
  const list = /^~\{sealfleet\}:\* resetchannels -@all [^`]*/m.exec(readme)?.[0] ?? ''
  const prefix = String(fleet.env['SEALFLEET_QUEUE_PREFIX'])
  const rights = list.replace('{sealfleet}', prefix).trim().split(/\s+/)
  await admin.call('ACL', 'SETUSER', user, 'reset', 'on', '>pass', ...rights)
})
afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]()
  await admin?.call('ACL', 'DELUSER', user)
  admin?.disconnect()
})

test('under exactly the documented access list files are enqueued, sealed, stored, and looked after', async () => {
  const env = { SEALFLEET_REDIS_URL: url.href }
  await using client = await openIngestClient({
    redisUrl: url.href,
    prefix: String(fleet.env['SEALFLEET_QUEUE_PREFIX']),
    accept: (files) => acceptFiles(fleet.records, files),
  })
  const content = randomBytes(50_000)
  await fleet.writeSource('a', content)
  await using _worker = await fleet.startWorker({ env, roundMs: 50 })
  const logs: string[] = []
  await using _maintenance = await runMaintenance({
    config: loadConfig({ ...fleet.env, ...env }, { needs: ['database', 'redis', 's3', 'maintenance', 'ops'] }),
    log: createLogger({ name: 'm', level: 'warn', destination: { write: (line) => void logs.push(line) } }),
    metrics: createMetrics({ processMetrics: false }),
    id: `acl-${randomUUID()}`,
    roundMs: 50,
  })
  const { fileId = '' } = await client.client.enqueue({ root: 'in', path: 'a' })
  expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
  expect((await fleet.restore(fileId)).equals(content)).toBe(true)
  const refused = [...fleet.logs, ...logs].filter((line) => line.includes('REDIS_ACCESS_DENIED'))
  expect(refused).toEqual([])
  expect(await denials()).toBe(0)
})

/** How often Redis refused this user. */
async function denials(): Promise<number> {
  const log = (await admin.call('ACL', 'LOG')) as unknown[][]
  return log.filter((entry) => entry.includes(user)).length
}

import { randomBytes, randomUUID } from 'node:crypto'
import { claimFile } from '@sealfleet/records/files'
import { ensureDomain } from '@sealfleet/records/fleet'
import { failAttempt } from '@sealfleet/records/attempts'
import { heartbeat } from '@sealfleet/records/upkeep'
import { openRecords, type Records } from '@sealfleet/records'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWorld, type World } from './support/world.js'

let world: World
let records: Records
let denied: string

beforeAll(async () => {
  world = await createWorld()
  records = await openRecords(world.databaseUrl)
  await ensureDomain(records, { id: 'default' })
  denied = await failing('SOURCE_IO', 'denied/a.pdf', 'retry')
  await failing('SOURCE_IO', 'denied/b.pdf', 'retry')
  await failing('SOURCE_MISSING', 'gone.pdf', 'dead')
  await claim('well.pdf')
})
afterAll(async () => {
  await records?.close()
  await world?.[Symbol.asyncDispose]()
})

function claim(path: string, over: { fileId?: string; owner?: string; leaseSeconds?: number } = {}) {
  const request = { domain: 'default', source: { root: 'data', path }, context: Buffer.alloc(0) }
  return claimFile(records, {
    ...{ ...request, fileId: randomUUID(), owner: 'w/1', leaseSeconds: 60 },
    ...over,
    fingerprint: Buffer.alloc(32, path),
  })
}

async function failing(code: string, path: string, disposition: 'retry' | 'dead'): Promise<string> {
  const fileId = randomUUID()
  await claim(path, { fileId })
  const end = { fileId, owner: 'w/1', attemptNo: 1, code, class: 'transient-source', message: 'no' }
  await failAttempt(records, { ...end, disposition, retryInMs: 600_000 })
  return fileId
}

const shown = async (...args: string[]) => (await world.inProcess(args)).stdout.toString()

test('status shows files that are tried again by code, with the oldest and the next try, before any is dead', async () => {
  const rows = (await shown('status')).split('\n').map((line) => line.split(/ {2,}/))
  const at = rows.findIndex(([name]) => name === 'RETRYING')
  expect(rows[at + 1]).toEqual(['SOURCE_IO', '2', expect.any(String), expect.stringMatching(/^\d{4}-/)])
  expect(rows[at + 2]).toEqual([''])
  const { retrying } = (await world.inProcess(['status', '--json'])).json<{ retrying: unknown[] }>()
  expect(retrying).toMatchObject([{ code: 'SOURCE_IO', files: 2, running: 0 }])
  expect(await shown('status', denied)).toMatch(/next try +\d{4}-/)
})

test('list shows them by --retrying and --code, each with its code', async () => {
  const retrying = await shown('list', '--retrying')
  expect(retrying.match(/QUEUED \(SOURCE_IO\)/g)).toHaveLength(2)
  expect(retrying).not.toContain('well.pdf')
  expect(await shown('list', '--code', 'source_missing')).toMatch(/DEAD \(SOURCE_MISSING\).*gone\.pdf/)
  expect(await shown('list', '--retrying', '--code', 'SOURCE_MISSING')).toContain('no such files')
  expect((await world.inProcess(['list', '--code', 'NONSENSE'])).status).toBe(2)
})

test('trace names the worker that died at a file, with its process and host', async () => {
  const id = `host-9-${randomBytes(3).toString('hex')}`
  const worker = {
    id,
    host: 'sealer-9',
    pid: 4711,
    version: '0',
    concurrency: 1,
    ttlSeconds: 45,
    state: 'READY',
  } as const
  await heartbeat(records, worker)
  const fileId = randomUUID()
  await claim('killer.pdf', { fileId, owner: `${id}/1`, leaseSeconds: -1 })
  expect(await claim('killer.pdf', { fileId, owner: 'w/2' })).toMatchObject({ outcome: 'claimed', crashes: 1 })
  expect(await shown('trace', fileId)).toMatch(
    new RegExp(`WORKER_DIED +${id}/1 +attempt 1: the lease ran out: process 4711 on sealer-9, last heard of at`),
  )
})

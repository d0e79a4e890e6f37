import { rekeyItem } from '@sealfleet/attempts'
import { randomBytes, randomUUID } from 'node:crypto'

import {
  changeRekeyRun,
  failedRekeyItems,
  dispatchRekeyItems,
  createRekeyItems,
  type RekeyRun,
} from '@sealfleet/records/rekey'
import { getFile } from '@sealfleet/records/files'
import { openStore } from '@sealfleet/store'
import { longTest, startFaultProxy } from '@sealfleet/testkit'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { makeKeys } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'
import { directly, itemsOf, rekeyPorts, runDone, startDispatcher, startRun, storeAll } from './rekeying.js'

let fleet: Fleet
let db: pg.Pool
beforeAll(async () => {
  fleet = await startFleet()
  db = directly(fleet)
})
afterAll(async () => {
  await db?.end()
  await fleet?.[Symbol.asyncDispose]()
})

/** A domain of its own with that many files under version 1, and keys of version 2. */
async function rotated(count: number): Promise<{ domain: string; ids: string[]; contents: Map<string, Buffer> }> {
  const domain = randomUUID()
  await makeKeys(fleet.records, fleet.token, { id: domain })
  const contents = new Map(Array.from({ length: count }, (_, i) => [`${domain}/${i}`, randomBytes(3_000)]))
  await using _worker = await fleet.startWorker()
  const ids = await storeAll(fleet, contents, domain)
  await makeKeys(fleet.records, fleet.token, { id: domain }, 2)
  return {
    domain,
    ids: [...ids.values()],
    contents: new Map([...ids].map(([path, id]) => [id, contents.get(path) ?? Buffer.alloc(0)])),
  }
}

async function onlyItem(run: RekeyRun): Promise<string> {
  await createRekeyItems(fleet.records, run.id, 'test')
  const ids: string[] = []
  await dispatchRekeyItems(fleet.records, run.id, (items) => Promise.resolve(ids.push(...items.map(({ id }) => id))), {
    limit: 10,
    lostAfterSeconds: 60,
  })
  expect(ids).toHaveLength(1)
  return ids[0] ?? ''
}

const never = { signal: new AbortController().signal }

test('two workers on one item: one commits, the other is told to come back or that it is over', async () => {
  const { domain, ids } = await rotated(1)
  const itemId = await onlyItem(await startRun(fleet, { domain }))
  const both = await Promise.all(['one', 'two'].map((owner) => rekeyItem(rekeyPorts(fleet), { itemId, owner }, never)))
  expect(both.map(({ kind }) => kind).sort()).toEqual(['leased', 'stored'])
  expect((await getFile(fleet.records, ids[0] ?? ''))?.committed).toMatchObject({ attemptNo: 2, encKeyVersion: 2 })
  expect(await rekeyItem(rekeyPorts(fleet), { itemId, owner: 'three' }, never)).toEqual({
    kind: 'skipped',
    state: 'DONE',
  })
})

longTest('a worker that stood still past its lease finds itself fenced, and the other’s object stays', async () => {
  const { domain, ids, contents } = await rotated(1)
  const run = await startRun(fleet, { domain })
  const itemId = await onlyItem(run)
  let second: Awaited<ReturnType<typeof rekeyItem>> | undefined
  const slow = rekeyPorts(fleet, {
    step: async (step, when) => {
      if (`${when}:${step}` !== 'before:rekey-commit') return
      await db.query(`UPDATE rekey_items SET lease_expires_at = now() - interval '1 second' WHERE id = $1`, [itemId])
      second = await rekeyItem(rekeyPorts(fleet), { itemId, owner: 'second' }, never)
    },
  })
  const first = await rekeyItem(slow, { itemId, owner: 'first' }, never)
  expect([first.kind, second?.kind]).toEqual(['fenced', 'stored'])
  const found = await getFile(fleet.records, ids[0] ?? '')
  expect(found?.committed?.id).toBe(second?.kind === 'stored' ? second.object.attemptId : '')
  expect((await fleet.restore(ids[0] ?? '')).equals(contents.get(ids[0] ?? '') ?? Buffer.alloc(0))).toBe(true)
})

longTest('a master key that was destroyed ends the item at once; the file stays as it is', async () => {
  const { domain, ids } = await rotated(1)
  const run = await startRun(fleet, { domain })
  const itemId = await onlyItem(run)
  const to = (state: string, and: string) =>
    db.query(
      `UPDATE master_keys SET state = $2::key_state ${and} WHERE domain_id = $1 AND role = 'ENC' AND version = 1`,
      [domain, state],
    )
  await to('DESTROY_SCHEDULED', ', destroy_after = now()')
  await to('DESTROYED', ', destroyed_at = now()')
  expect(await rekeyItem(rekeyPorts(fleet), { itemId, owner: 'one' }, never)).toMatchObject({
    kind: 'failed',
    failed: { code: 'E_KEY_DESTROYED' },
    decision: { action: 'dead' },
  })
  expect(await failedRekeyItems(fleet.records, run.id, 5)).toMatchObject([{ code: 'E_KEY_DESTROYED', tries: 1 }])
  expect((await getFile(fleet.records, ids[0] ?? ''))?.file.state).toBe('STORED')
})

longTest('an outage of the store gives the item back and burns nothing', async () => {
  const { domain } = await rotated(1)
  const run = await startRun(fleet, { domain })
  const itemId = await onlyItem(run)
  const { endpoint, region, bucket, accessKeyId, secretAccessKey } = fleet.bucket
  await using proxy = await startFaultProxy(endpoint)
  using store = await openStore({
    ...{ endpoint: proxy.endpoint, region, bucket, accessKeyId, secretAccessKey },
    maxAttempts: 1,
  })
  proxy.inject('PutObject', { kind: 'status', status: 503, code: 'ServiceUnavailable' })
  expect(await rekeyItem(rekeyPorts(fleet, { store }), { itemId, owner: 'one' }, never)).toMatchObject({
    kind: 'failed',
    failed: { failure: { policy: { kind: 'hold', dependency: 's3' } } },
    decision: { action: 'hold' },
  })
  const { rows } = await db.query('SELECT state::text, tries FROM rekey_items WHERE id = $1', [itemId])
  expect(rows).toEqual([{ state: 'QUEUED', tries: 0 }])
  proxy.heal()
  expect(await rekeyItem(rekeyPorts(fleet, { store }), { itemId, owner: 'two' }, never)).toMatchObject({
    kind: 'stored',
  })
})

longTest(
  'a run is paused, goes on where it was, and is cancelled; its pace is kept',
  { timeout: 180_000 },
  async () => {
    const { domain } = await rotated(40)
    await using _worker = await fleet.startWorker()
    await using _dispatcher = await startDispatcher(fleet)
    const rate = 5
    const run = await startRun(fleet, { domain, filesPerSecond: rate })
    await expect.poll(async () => (await itemsOf(fleet, run)).DONE, { timeout: 60_000 }).toBeGreaterThanOrEqual(12)
    await changeRekeyRun(fleet.records, run.id, 'pause')
    // What was given before comes to its end or is put back.
    await expect.poll(async () => (await itemsOf(fleet, run)).RUNNING, { timeout: 60_000 }).toBe(0)
    const held = await itemsOf(fleet, run)
    const waiting = await db.query<{ id: string }>(
      `SELECT id FROM rekey_items WHERE run_id = $1 AND state = 'QUEUED' LIMIT 1`,
      [run.id],
    )
    const asked = { itemId: waiting.rows[0]?.id ?? '', owner: 'one' }
    expect(await rekeyItem(rekeyPorts(fleet), asked, never)).toEqual({ kind: 'halted' })
    expect(await itemsOf(fleet, run)).toEqual(held)
    await changeRekeyRun(fleet.records, run.id, 'resume')
    await expect.poll(async () => (await itemsOf(fleet, run)).DONE, { timeout: 60_000 }).toBeGreaterThan(held.DONE + 4)
    // By the database's clock: in no window of two seconds were more given than the rate allows.
    const { rows } = await db.query<{ most: number }>(
      `SELECT max(n)::int AS most FROM (SELECT count(*) OVER (ORDER BY queued_at RANGE BETWEEN interval '1.9 seconds' PRECEDING
       AND CURRENT ROW) AS n FROM rekey_items WHERE run_id = $1 AND queued_at IS NOT NULL) w`,
      [run.id],
    )
    expect(rows[0]?.most).toBeLessThanOrEqual(2 * rate)
    await changeRekeyRun(fleet.records, run.id, 'cancel')
    await expect.poll(async () => (await itemsOf(fleet, run)).RUNNING, { timeout: 60_000 }).toBe(0)
    const left = await itemsOf(fleet, run)
    expect(left.QUEUED).toBeGreaterThan(0)
    expect(left.DONE + left.QUEUED).toBe(40)
    // Another run takes what was left.
    const next = await startRun(fleet, { domain })
    await runDone(fleet, next)
    expect((await itemsOf(fleet, next)).DONE).toBe(left.QUEUED)
  },
)

longTest(
  'Redis wiped in the middle: the items get new jobs, and each file is moved once',
  { timeout: 180_000 },
  async () => {
    const { domain, contents } = await rotated(24)
    await using dispatcher = await startDispatcher(fleet, { lostAfterSeconds: 1 })
    const run = await startRun(fleet, { domain })
    await expect.poll(() => dispatcher.queue.getWaitingCount(), { timeout: 60_000 }).toBe(24)
    await dispatcher.queue.obliterate({ force: true })
    {
      await using _worker = await fleet.startWorker()
      await expect.poll(async () => (await itemsOf(fleet, run)).DONE, { timeout: 60_000 }).toBeGreaterThan(3)
      await dispatcher.queue.obliterate({ force: true })
      await runDone(fleet, run)
    }
    expect(await itemsOf(fleet, run)).toMatchObject({ DONE: 24, FAILED: 0 })
    for (const [id, content] of contents) {
      const found = await getFile(fleet.records, id)
      expect(found?.committed?.encKeyVersion).toBe(2)
      expect((await fleet.restore(id)).equals(content)).toBe(true)
    }
    const { rows } = await db.query<{ n: string }>(
      `SELECT count(*) AS n FROM attempts WHERE domain_id = $1 AND state = 'COMMITTED'`,
      [domain],
    )
    expect(rows[0]?.n).toBe('24')
  },
)

longTest('a worker with SEALFLEET_REKEY_CONCURRENCY=0 takes none; a job of another form is refused', async () => {
  const { domain } = await rotated(1)
  await using dispatcher = await startDispatcher(fleet)
  const run = await startRun(fleet, { domain })
  await using _none = await fleet.startWorker({ env: { SEALFLEET_REKEY_CONCURRENCY: '0' } })
  await expect.poll(() => dispatcher.queue.getWaitingCount(), { timeout: 60_000 }).toBe(1)
  const bad = await dispatcher.queue.add('rekey', { v: 1, id: randomUUID(), plus: true } as never)
  await using _one = await fleet.startWorker()
  await expect.poll(() => bad.isFailed(), { timeout: 60_000 }).toBe(true)
  await runDone(fleet, run)
})

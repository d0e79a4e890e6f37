import { rekeyItem } from '@sealfleet/attempts'
import { randomBytes, randomUUID } from 'node:crypto'

import { openKeyAdmin, type MasterKeyRef } from '@sealfleet/hsm'
import { failedRekeyItems, dispatchRekeyItems, createRekeyItems } from '@sealfleet/records/rekey'
import { getFile, traceFile } from '@sealfleet/records/files'
import type pg from 'pg'
import { longTest } from '@sealfleet/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { withDestroyedKeyErrors } from '@sealfleet/objects'
import { makeKeys, tokenOptions } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'
import { directly, itemsOf, rekeyPorts, runDone, startDispatcher, startRun, storeAll } from './rekeying.js'

const ENC: MasterKeyRef = { role: 'enc', domain: 'default', suite: 1, version: 1 }

let fleet: Fleet
let db: pg.Pool
beforeEach(async () => {
  fleet = await startFleet()
  db = directly(fleet)
})
afterEach(async () => {
  await db?.end()
  await fleet?.[Symbol.asyncDispose]()
})

/** As a destruction leaves the token and the records. */
async function destroyFirst(): Promise<void> {
  await using admin = await openKeyAdmin(tokenOptions(fleet.token))
  await admin.destroy(ENC)
  const to = (state: string, and: string) =>
    db.query(`UPDATE master_keys SET state = $1::key_state ${and} WHERE role = 'ENC' AND version = 1`, [state])
  await to('DESTROY_SCHEDULED', ', destroy_after = now()')
  await to('DESTROYED', ', destroyed_at = now()')
}

const files = (count: number) =>
  new Map(Array.from({ length: count }, (_, i) => [`${randomUUID()}/${i}`, randomBytes(3_000)]))

test('queued jobs to seal files again whose key is destroyed die at the first try; the worker goes on with others', async () => {
  await using _worker = await fleet.startWorker({ env: { SEALFLEET_REKEY_CONCURRENCY: '2' } })
  const ids = await storeAll(fleet, files(3))
  await makeKeys(fleet.records, fleet.token, { id: 'default' }, 2)
  const run = await startRun(fleet)
  await destroyFirst()
  await using dispatcher = await startDispatcher(fleet)
  await runDone(fleet, run)
  expect(await itemsOf(fleet, run)).toMatchObject({ FAILED: 3, DONE: 0, QUEUED: 0 })
  const failed = await failedRekeyItems(fleet.records, run.id, 5)
  expect(failed.map(({ code, tries }) => [code, tries])).toEqual(Array.from(ids, () => ['E_KEY_DESTROYED', 1]))
  // No job of theirs waits for another try.
  const left = () => dispatcher.queue.getJobCounts('waiting', 'delayed', 'active')
  await expect.poll(left, { timeout: 60_000 }).toMatchObject({ waiting: 0, delayed: 0, active: 0 })
  for (const id of ids.values()) expect((await getFile(fleet.records, id))?.file.state).toBe('STORED')
  await storeAll(fleet, files(1))
  expect(fleet.logs.join('')).not.toContain('HSM agent replaced')
})

test('a key that goes between the look at its state and its use: dead at once, not tried again', async () => {
  {
    await using _worker = await fleet.startWorker()
    await storeAll(fleet, files(1))
  }
  await makeKeys(fleet.records, fleet.token, { id: 'default' }, 2)
  const run = await startRun(fleet)
  await createRekeyItems(fleet.records, run.id, 'test')
  const items: string[] = []
  const give = (given: readonly { readonly id: string }[]) =>
    Promise.resolve(void items.push(...given.map(({ id }) => id)))
  await dispatchRekeyItems(fleet.records, run.id, give, { limit: 10, lostAfterSeconds: 60 })
  const { hsm } = fleet.ports
  // Its state was read by now.
  const hmac: typeof hsm.hmac = async (key, ...rest) => {
    if (key.role === 'enc') await destroyFirst()
    return hsm.hmac(key, ...rest)
  }
  const late = { hmac, wrap: hsm.wrap.bind(hsm), unwrap: hsm.unwrap.bind(hsm) }
  const ports = rekeyPorts(fleet, { opener: withDestroyedKeyErrors(fleet.records, late) })
  const [itemId = ''] = items
  expect(await rekeyItem(ports, { itemId, owner: 'one' }, { signal: new AbortController().signal })).toMatchObject({
    kind: 'failed',
    failed: { code: 'E_KEY_DESTROYED' },
    decision: { action: 'dead' },
  })
})

longTest(
  'a file that is being stored under a version which is destroyed meanwhile is not committed; it is stored under the next',
  async () => {
    let struck = false
    await using _worker = await fleet.startWorker({
      env: { SEALFLEET_LEASE_SECONDS: '2', SEALFLEET_LEASE_RENEW_SECONDS: '1' },
      step: async (step, when) => {
        if (struck || step !== 'commit' || when !== 'before') return
        struck = true
        await makeKeys(fleet.records, fleet.token, { id: 'default' }, 2)
        await destroyFirst()
      },
    })
    const contents = files(1)
    const ids = await storeAll(fleet, contents)
    expect(struck).toBe(true)
    for (const [path, id] of ids) {
      const found = await getFile(fleet.records, id)
      expect(found?.committed).toMatchObject({ encKeyVersion: 2, attemptNo: 2 })
      expect((await fleet.restore(id)).equals(contents.get(path) ?? Buffer.of())).toBe(true)
      const attempts = (await traceFile(fleet.records, id))?.attempts ?? []
      // The next claim closes the first; it can never be committed.
      expect(attempts.map(({ state }) => state)).toEqual(['ABANDONED', 'COMMITTED'])
    }
  },
)

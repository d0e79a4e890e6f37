import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { activateMasterKey, registerMasterKey } from '../src/keys/master-keys.js'
import { heartbeat } from '../src/upkeep/workers.js'
import { listLiveWorkers } from '../src/upkeep/live-workers.js'
import { listPendingKeys } from '../src/keys/pending-keys.js'
import type { WorkerState } from '../src/db/terms.js'
import { openFixture, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())
beforeEach(() => f.sql.query('DELETE FROM workers'))

const KEYS = { confirmed: ['k1'], lacking: [{ key: 'k2', token: 'primary', state: 'unknown' }] }
const beat = (id: string, state: WorkerState, detail: unknown, ttlSeconds = 60) =>
  heartbeat(f.records, { id, host: 'h', pid: 1, version: '0', concurrency: 1, state, detail, ttlSeconds })

describe('workers that may seal', () => {
  test.each<[string, WorkerState, unknown, boolean]>([
    ['ready', 'READY', { keys: KEYS }, true],
    ['draining: it finishes what it has', 'DRAINING', { keys: KEYS }, true],
    ['starting, and about to take jobs', 'STARTING', { keys: KEYS }, true],
    ['starting, and not open yet', 'STARTING', { keys: null }, false],
    ['stopped', 'STOPPED', { keys: KEYS }, false],
    ['maintenance', 'READY', { program: 'maintenance' }, false],
    ['another program', 'READY', { program: 'other' }, true],
  ])('%s', async (_what, state, detail, counts) => {
    await beat('w', state, detail)
    expect((await listLiveWorkers(f.records)).map(({ id }) => id)).toEqual(counts ? ['w'] : [])
  })

  test('not one that has been silent for too long, by the database’s clock', async () => {
    await beat('w', 'READY', { keys: KEYS }, 0.001)
    await f.sql.query('SELECT pg_sleep(0.01)')
    expect(await listLiveWorkers(f.records)).toEqual([])
  })

  test.each<[string, unknown, unknown]>([
    ['a whole report', KEYS, KEYS],
    ['none: an older version', undefined, null],
    ['of another shape', 'odd', null],
    ['an array', [], null],
    [
      'with things no one knows',
      { confirmed: ['k1', 7], lacking: [{ key: 1 }, 'x', null], more: true },
      { confirmed: ['k1'], lacking: [] },
    ],
  ])('what they say of keys: %s', async (_what, keys, read) => {
    await beat('w', 'READY', { keys })
    expect(await listLiveWorkers(f.records)).toEqual([{ id: 'w', host: 'h', keys: read }])
  })
})

test('versions that are not active yet, of every role, the youngest first', async () => {
  const add = async (role: 'enc' | 'audit', version: number) =>
    (
      await registerMasterKey(f.records, {
        ref: { role, domain: 'default', suite: 1, version },
        checkValue: randomBytes(8),
      })
    ).key.id
  expect(await listPendingKeys(f.records)).toEqual([])
  const audit = await add('audit', 1)
  const enc = await add('enc', 2)
  expect((await listPendingKeys(f.records)).map(({ id }) => id)).toEqual([enc, audit])
  await activateMasterKey(f.records, { ref: { role: 'enc', domain: 'default', version: 2 } })
  expect((await listPendingKeys(f.records)).map(({ label }) => label)).toEqual(['sealfleet/audit/1'])
})

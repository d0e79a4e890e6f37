import { randomUUID } from 'node:crypto'
import { cancelScheduled, carryOutDue, lookAtKey, scheduleByRequest } from '@sealfleet/keys'
import { listAudit } from '@sealfleet/records/audit'
import { longTest } from '@sealfleet/testkit'
import { expect, test } from 'vitest'
import { ACTOR, requestDestruction } from './destroy-house.js'
import { aHouseEach, everywhere, hold, house, openHouse, terms, withOldKey } from './destroying.js'

aHouseEach()

longTest('a hold of the domain or of a file refuses, also one that is placed after scheduling', async () => {
  await openHouse()
  const { fileId } = await house.file()
  await house.rotate('enc', 2)
  const key = await house.key('enc', 1)
  await house.schedule(key, { shred: 1 })
  await hold(fileId)
  // What the records refuse costs no look at the store, however often it is asked.
  const looked: number[] = []
  const options = { ...house.options, onProgress: (n: number) => void looked.push(n) }
  expect((await carryOutDue(house, options)).findings).toEqual([{ label: key.label, code: 'HELD' }])
  expect(looked).toEqual([])
  await house.sql.query(`UPDATE holds SET released_at = clock_timestamp(), released_by = 'legal'`)
  await hold()
  expect((await carryOutDue(house, house.options)).findings).toEqual([{ label: key.label, code: 'HELD' }])
  expect(await everywhere(key)).toEqual([1, 1])
  await house.sql.query(
    `UPDATE holds SET released_at = clock_timestamp(), released_by = 'legal' WHERE released_at IS NULL`,
  )
  expect(await carryOutDue(house, house.options)).toMatchObject({ destroyed: 1 })
})

test('a hold that is being placed while it is carried out is waited for, and wins', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  const client = await house.sql.connect()
  await client.query('BEGIN')
  await client.query(
    `INSERT INTO holds (id, domain_id, reason, placed_by) VALUES ($1, '00000000-0000-0000-0000-000000000000', 'court', 'legal')`,
    [randomUUID()],
  )
  const carrying = carryOutDue(house, house.options)
  await waitingForLock('holds')
  await client.query('COMMIT')
  client.release()
  expect((await carrying).findings).toEqual([{ label: key.label, code: 'HELD' }])
  expect(await everywhere(key)).toEqual([1, 1])
})

async function waitingForLock(table: string): Promise<void> {
  for (;;) {
    const { rows } = await house.sql.query(
      `SELECT 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE NOT l.granted AND c.relname = $1
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [table],
    )
    if (rows.length > 0) return
  }
}

test('a commit that has the key’s row first is seen by the scheduling that waited for it', async () => {
  await openHouse()
  await house.rotate('enc', 2)
  const key = await house.key('enc', 1)
  const request = await requestDestruction(house, key, {
    terms: terms(),
    needs: await lookAtKey(house, key),
    actor: ACTOR,
  })
  await house.sign(request, house.officers)
  const client = await house.sql.connect()
  // As an attempt would that was opened under the old version a moment ago: it holds the row FOR SHARE until it commits.
  const other = await house.begin()
  await client.query('BEGIN')
  await client.query('SELECT 1 FROM master_keys WHERE id = $1 FOR SHARE', [key.id])
  const scheduling = scheduleByRequest(house, key, { requestId: request.id, minWaitSeconds: 0, actor: ACTOR })
  const outcome = scheduling.then(
    () => 'scheduled',
    (error: { code?: string }) => error.code,
  )
  for (;;) {
    const { rows } = await house.sql.query(
      `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%master_keys%FOR UPDATE%'`,
    )
    if (rows.length > 0) break
  }
  await client.query('SET session_replication_role = replica')
  await client.query('UPDATE attempts SET enc_key_id = $1 WHERE id = $2', [key.id, other.attemptId])
  await client.query('COMMIT')
  client.release(true)
  expect(await outcome).toBe('STILL_REFERENCED')
  expect((await house.key('enc', 1)).state).toBe('DECRYPT_ONLY')
})

longTest(
  'of a cancellation and two that carry out at the same moment one wins, and the tokens agree with the records',
  async () => {
    const key = await withOldKey()
    await house.schedule(key)
    const tokens = () => Promise.resolve(house.tokens)
    const [one, two, cancelled] = await Promise.allSettled([
      carryOutDue(house, house.options),
      carryOutDue(house, { ...house.options, actor: 'other' }),
      cancelScheduled({ records: house.records, tokens }, key, { actor: ACTOR, reason: 'race' }),
    ])
    const { state } = await house.key('enc', 1)
    const destroyed = [one, two].map((run) => (run.status === 'fulfilled' ? run.value.destroyed : -1))
    if (cancelled.status === 'fulfilled') {
      expect(destroyed).toEqual([0, 0])
      expect(state).toBe('DECRYPT_ONLY')
      expect(await everywhere(key)).toEqual([1, 1])
    } else {
      expect(destroyed.sort()).toEqual([0, 1])
      expect(state).toBe('DESTROYED')
      expect(await everywhere(key)).toEqual([0, 0])
    }
  },
)

longTest('two maintenance processes destroy it once, with one record and one row', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  const runs = await Promise.all([carryOutDue(house, house.options), carryOutDue(house, house.options)])
  expect(runs.map(({ destroyed }) => destroyed).sort()).toEqual([0, 1])
  expect(runs.map(({ found }) => found)).toEqual([0, 0])
  const audit = await listAudit(house.records, { subjectKind: 'key', subjectId: key.id })
  expect(audit.filter(({ action }) => action === 'keys.destroy')).toHaveLength(1)
})

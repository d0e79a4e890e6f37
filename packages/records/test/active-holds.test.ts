import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { activeHolds } from '../src/deletion/active-holds.js'
import { placeHold } from '../src/deletion/place-hold.js'
import { openFixture, opened, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

test('active holds are those of the domain and of the file, and none can be placed meanwhile', async () => {
  const { fileId } = await opened(f)
  const { fileId: another } = await opened(f)
  const place = (file: string | null, released: boolean) =>
    f.sql.query(
      `INSERT INTO holds (id, domain_id, file_id, reason, placed_by, released_at, released_by)
       VALUES ($1, '00000000-0000-0000-0000-000000000000', $2, 'court', 'x', $3, $4)`,
      [randomUUID(), file, released ? new Date() : null, released ? 'y' : null],
    )
  const holds = (file?: string) => f.records.transaction((tx) => activeHolds(tx, { domain: 'default', fileId: file }))
  await place(fileId, true)
  await place(null, true)
  expect(await holds(fileId)).toEqual([])
  await place(another, false)
  expect(await holds(fileId)).toEqual([])
  expect(await holds()).toMatchObject([{ fileId: another, reason: 'court' }])
  expect(await holds(another)).toMatchObject([{ fileId: another }])
  let placing: Promise<unknown> | undefined
  await f.records.transaction(async (tx) => {
    expect(await activeHolds(tx, { domain: 'default', fileId })).toEqual([])
    placing = placeHold(f.records, { target: { domain: 'default' }, reason: 'court', actor: 'x' })
    const race = await Promise.race([placing.then(() => 'placed'), blocked().then(() => 'waits')])
    expect(race).toBe('waits')
  })
  await placing
  expect(await holds(fileId)).toMatchObject([{ fileId: null, placedBy: 'x' }])
})

/** Resolves when a connection of this database waits for a lock. */
async function blocked(): Promise<void> {
  for (;;) {
    const { rows } = await f.sql.query<{ n: number }>(
      `SELECT count(*)::int AS n, pg_sleep(0.01)::text FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    if ((rows[0]?.n ?? 0) > 0) return
  }
}

import { freshDatabase, tempDir } from '@sealfleet/testkit'
import { cp, rm } from 'node:fs/promises'
import path from 'node:path'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { getFleet, rememberTakenOver } from '../src/fleet/fleet.js'
import { migrate } from '../src/migrate/migrate.js'
import { openRecords } from '../src/db/records.js'
import { MIGRATIONS_DIR, readMigrations } from '../src/migrate/migration-files.js'
import { openFixture, type Fixture } from './support.js'

const MIGRATION = '20261130130000_fleet_identity'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

test('a database gets an id of its own by migrating, a new one and one that is upgraded alike', async () => {
  await using fresh = await freshDatabase({ schema: 'empty' })
  await using upgraded = await freshDatabase({ schema: 'empty' })
  await using before = await tempDir()
  await cp(MIGRATIONS_DIR, before.path, { recursive: true })
  for (const { name } of await readMigrations())
    if (name >= MIGRATION) await rm(path.join(before.path, name), { recursive: true })
  await migrate(upgraded.url, { migrationsDir: before.path })
  await migrate(fresh.url)
  await migrate(upgraded.url)
  const ids = []
  for (const { url } of [fresh, upgraded]) {
    await using records = await openRecords(url)
    ids.push((await getFleet(records)).id)
    await migrate(url)
    expect((await getFleet(records)).id).toBe(ids.at(-1))
  }
  expect(new Set(ids).size).toBe(2)
})

test('two databases of the tests are two fleets', async () => {
  await using other = await freshDatabase()
  await using records = await openRecords(other.url)
  expect((await getFleet(records)).id).not.toBe((await getFleet(f.records)).id)
})

test.each([
  ['another id', 'UPDATE fleet SET id = gen_random_uuid()', 'fleet_keeps_its_id'],
  ['a second row', 'INSERT INTO fleet (singleton) VALUES (false)', 'fleet_singleton'],
  ['the same row again', 'INSERT INTO fleet DEFAULT VALUES', 'fleet_pkey'],
  ['no row', 'DELETE FROM fleet', 'fleet_never_deleted'],
  ['an empty table', 'TRUNCATE fleet', 'fleet_never_deleted'],
])('the database refuses %s', async (_, statement, constraint) => {
  await expect(f.sql.query(statement)).rejects.toMatchObject({ constraint })
})

test('remembers once from whom it took over, and never itself', async () => {
  const { id } = await getFleet(f.records)
  const [first, second] = [randomUUID(), randomUUID()]
  for (const other of [first, second, first, id]) await rememberTakenOver(f.records, other)
  expect((await getFleet(f.records)).tookOver.toSorted()).toEqual([first, second].toSorted())
  await expect(rememberTakenOver(f.records, 'somebody')).rejects.toMatchObject({ code: 'INVALID' })
})

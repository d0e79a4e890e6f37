import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { claimFile } from '../src/files/claim-file.js'
import { openRecords, type Records } from '../src/db/records.js'
import { MOST_NAMES, statementNames } from '../src/db/statement-names.js'
import { Prisma } from '../src/generated/client.js'
import { openFixture, request, type Fixture } from './support.js'

describe('names of statements', () => {
  const nameOf = statementNames()
  const statement = (sql: string, parameters = 1) => ({ sql, args: Array.from({ length: parameters }, () => 'x') })

  test('a text has one name, in every process, and another text has another', () => {
    const name = nameOf(statement('SELECT $1::int'))
    expect(name).toMatch(/^sealfleet_[0-9a-f]{32}$/)
    expect(nameOf(statement('SELECT $1::int'))).toBe(name)
    expect(statementNames()(statement('SELECT $1::int'))).toBe(name)
    expect(nameOf(statement('SELECT $1::bigint'))).not.toBe(name)
  })

  test.each([
    ['without a plan', statement('BEGIN', 0)],
    ['with a list of any length', statement('SELECT 1 WHERE 1 IN ($1, …)', 41)],
    ['with a list in a parameter', statement('SELECT 1 WHERE 1 = ANY ($1::int[])')],
  ])('a statement %s has none', (_, one) => {
    expect(nameOf(one)).toBe('')
  })

  test('there is an end to them', () => {
    const names = statementNames()
    const given = Array.from({ length: 2 * MOST_NAMES }, (_, n) => names(statement(`SELECT ${n}`)))
    expect(new Set(given).size).toBe(MOST_NAMES + 1)
    expect(given.at(-1)).toBe('')
    expect(names(statement('SELECT 0'))).toBe(given[0])
  })
})

describe('a session', () => {
  let f: Fixture
  /** With one connection. */
  let records: Records
  beforeAll(async () => {
    f = await openFixture()
    records = await openRecords(f.url, { poolSize: 1 })
    await f.sql.query(`CREATE TYPE colour AS ENUM ('red'); CREATE TABLE shade (n int, colour colour);
      INSERT INTO shade VALUES (1, 'red')`)
  })
  afterAll(async () => {
    await records?.close()
    await f?.[Symbol.asyncDispose]()
  })

  const prepared = async () =>
    (
      await records.query<{ statement: string }>(
        Prisma.sql`SELECT statement FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared_statements%'`,
      )
    ).map(({ statement }) => statement)
  const backend = async () => (await records.query<{ pid: number }>(Prisma.sql`SELECT pg_backend_pid() AS pid`))[0]?.pid

  test('prepares a statement once, inside of transactions and outside', async () => {
    const ask = Prisma.sql`SELECT ${1}::int AS one`
    const before = await prepared()
    await records.query(ask)
    await records.transaction((tx) => tx.query(ask))
    await records.query(ask)
    const made = (await prepared()).slice(before.length)
    expect(made).toEqual([expect.stringContaining('SELECT $1::int AS one')])
  })

  test('keeps nothing of lists of any length', async () => {
    const before = await prepared()
    for (const length of [50, 60, 70]) {
      const ids = Array.from({ length }, () => request().fileId)
      await records.read((prisma) => prisma.file.count({ where: { id: { in: ids } } }))
    }
    expect(await prepared()).toEqual(before)
  })

  const ENUM = `ALTER TABLE shade ALTER colour TYPE text; DROP TYPE colour; CREATE TYPE colour AS ENUM ('red', 'blue');
    ALTER TABLE shade ALTER colour TYPE colour USING colour::colour`
  test.each([
    ['a column', 'ALTER TABLE shade ALTER n TYPE bigint', 'ALTER TABLE shade ALTER n TYPE int'],
    ['a parameter', ENUM, ENUM],
  ])('goes on when a migration changes the type of %s', async (_, first, second) => {
    const ask = Prisma.sql`SELECT n AS number FROM shade WHERE colour = ${'red'}::colour`
    const inside = () => records.transaction((tx) => tx.query(ask))
    const pid = await backend()
    const answer = await records.query(ask)
    await f.sql.query(first)
    expect(await records.query(ask)).toHaveLength(answer.length)
    // A transaction has failed with its statement; the next one knows the new tables.
    await f.sql.query(second)
    await expect(inside()).rejects.toMatchObject({
      code: 'DB_UNAVAILABLE',
      fix: expect.stringContaining('try again') as unknown,
    })
    expect(await inside()).toEqual(answer)
    expect(await backend()).toBe(pid)
  })

  test('a worker claims on while a migration changes what a claim answers', async () => {
    expect(await claimFile(records, request())).toMatchObject({ outcome: 'claimed' })
    await f.sql.query('ALTER TABLE files ADD COLUMN added int, ALTER COLUMN crashes TYPE bigint')
    const pid = await backend()
    expect(await claimFile(records, request())).toMatchObject({ outcome: 'claimed' })
    expect(await backend()).toBe(pid)
  })
})

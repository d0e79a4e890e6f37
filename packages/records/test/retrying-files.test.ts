import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Prisma } from '../src/generated/client.js'
import { claimFile } from '../src/files/claim-file.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { getFile } from '../src/files/get-file.js'
import { listFiles } from '../src/files/list-files.js'
import { retryingByCode } from '../src/files/retrying-files.js'
import type { Queryable } from '../src/db/records.js'
import { retryingIds } from '../src/files/retrying-files.js'
import { manyFiles } from './many-files.js'
import { opened, openFixture, request, type Fixture } from './support.js'

const STORED = 5_000

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
  const client = await f.sql.connect()
  try {
    await manyFiles(client, f.keys, STORED)
    await client.query('ANALYZE files')
  } finally {
    client.release(true)
  }
})
afterAll(() => f?.[Symbol.asyncDispose]())

async function failing(code: string, path: string, o: { retryInMs?: number; dead?: boolean } = {}): Promise<string> {
  const input = await opened(f, { source: { root: 'in', path } })
  await failAttempt(f.records, {
    ...{ fileId: input.fileId, owner: input.owner, attemptNo: 1, code, class: 'x', message: 'm' },
    disposition: o.dead === true ? 'dead' : 'retry',
    retryInMs: o.retryInMs,
  })
  return input.fileId
}

test('files that failed and are tried again are counted by code, with the oldest and the next try', async () => {
  expect(await retryingByCode(f.records)).toEqual([])
  const soon = await failing('SOURCE_IO', 'a/1', { retryInMs: 60_000 })
  await failing('SOURCE_IO', 'a/2', { retryInMs: 600_000 })
  const busy = await failing('SOURCE_BUSY', 'b/1')
  await failing('SOURCE_MISSING', 'a/dead', { dead: true })
  await opened(f)
  const first = (await getFile(f.records, soon))!.file
  expect(await retryingByCode(f.records)).toEqual([
    { code: 'SOURCE_IO', files: 2, running: 0, oldestAt: first.acceptedAt, nextTryAt: first.nextTryAt },
    {
      code: 'SOURCE_BUSY',
      files: 1,
      running: 0,
      oldestAt: expect.any(Date) as Date,
      nextTryAt: expect.any(Date) as Date,
    },
  ])
  expect(first.nextTryAt!.getTime() - first.lastFailure!.at.getTime()).toBeGreaterThanOrEqual(59_000)

  // One that is being tried just now is among them, and waits for nothing.
  const { file } = (await getFile(f.records, busy))!
  await claimFile(f.records, { ...request({ fileId: busy, fingerprint: file.fingerprint }), source: file.source })
  expect((await retryingByCode(f.records))[1]).toMatchObject({ code: 'SOURCE_BUSY', running: 1, nextTryAt: null })
  expect((await getFile(f.records, busy))?.file.nextTryAt).toBeNull()
})

test('they are listed, by code and by all other filters, page by page in both orders', async () => {
  const paths = async (filter: Parameters<typeof listFiles>[1]) =>
    (await listFiles(f.records, { retrying: true, ...filter })).files.map(({ file }) => file.source.path)
  expect(await paths({})).toEqual(['a/1', 'a/2', 'b/1'])
  expect(await paths({ code: 'SOURCE_IO', newestFirst: true })).toEqual(['a/2', 'a/1'])
  expect(await paths({ prefix: 'b' })).toEqual(['b/1'])
  expect(await paths({ prefix: '%' })).toEqual([])
  expect(await paths({ root: 'elsewhere' })).toEqual([])
  expect(await paths({ batchId: randomUUID() })).toEqual([])
  for (const newestFirst of [false, true]) {
    const all: string[] = []
    for (let cursor: string | undefined; ;) {
      const page = await listFiles(f.records, { retrying: true, limit: 1, cursor, newestFirst })
      all.push(...page.files.map(({ file }) => file.source.path))
      if (page.nextCursor === null) break
      cursor = page.nextCursor
    }
    expect(all).toEqual(newestFirst ? ['b/1', 'a/2', 'a/1'] : ['a/1', 'a/2', 'b/1'])
  }
})

test('by a code alone dead files are found too, and stored ones, whose failure is history, are not', async () => {
  const codes = async (code: string) => (await listFiles(f.records, { code })).files.map(({ file }) => file.state)
  expect(await codes('SOURCE_MISSING')).toEqual(['DEAD'])
  expect(await codes('SOURCE_IO')).toEqual(['QUEUED', 'QUEUED'])
})

test('both come from an index of these files alone, however many are stored', async () => {
  const plans: string[] = []
  const db: Queryable = {
    read: (run) => f.records.read(run),
    query: async (sql: Prisma.Sql) => {
      const { rows } = await f.sql.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql.text}`, [...sql.values])
      plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'))
      return []
    },
  }
  await retryingByCode(db)
  await retryingIds(db, {}, { limit: 100, newestFirst: true })
  expect(plans).toHaveLength(2)
  for (const plan of plans) {
    expect(plan).toContain('files_retrying')
    expect(plan).not.toContain('Seq Scan')
  }
})

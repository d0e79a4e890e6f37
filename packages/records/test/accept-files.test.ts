import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ACCEPT_CHUNK, acceptFiles } from '../src/files/accept-files.js'
import { batchProgress, createBatch } from '../src/files/batches.js'
import { claimFile } from '../src/files/claim-file.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { fileStates } from '../src/files/file-states.js'
import { getFile } from '../src/files/get-file.js'
import { listFiles } from '../src/files/list-files.js'
import type { Queryable } from '../src/db/records.js'
import { acceptFile, openFixture, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

test('ten thousand files are accepted as one batch in a handful of statements', async () => {
  const batch = await createBatch(f.records, { name: 'many', expected: 10_000, createdBy: 'test' })
  let statements = 0
  const counting: Queryable = {
    read: (run) => f.records.read(run),
    query: (sql) => {
      statements++
      return f.records.query(sql)
    },
  }
  const files = Array.from({ length: 10_000 }, (_, i) => ({
    ...request({ context: randomBytes(64) }),
    source: { root: 'in', path: `many/${i}.bin` },
    batchId: batch.id,
  }))
  const accepted = await acceptFiles(counting, files)
  expect(accepted.map((answer) => answer.fileId)).toEqual(files.map((file) => file.fileId))
  expect(new Set(accepted.map((answer) => answer.outcome))).toEqual(new Set(['accepted']))
  expect(statements).toBe(10_000 / ACCEPT_CHUNK)
  expect(await batchProgress(f.records, batch.id)).toMatchObject({
    batch: { name: 'many', expected: 10_000 },
    accepted: 10_000,
    finished: 0,
    byState: { QUEUED: 10_000, STORED: 0 },
    storedPlaintextBytes: 0,
    deadByCode: {},
  })
  const again = await acceptFiles(f.records, files)
  expect(new Set(again.map((answer) => answer.outcome))).toEqual(new Set(['exists-same']))
  expect((await getFile(f.records, files[4_321]!.fileId))?.file).toMatchObject({
    source: { root: 'in', path: 'many/4321.bin' },
    context: files[4_321]!.context,
    batchId: batch.id,
  })
})

test('the same id for another request is a conflict, and the first file stays as it was', async () => {
  const first = request()
  expect(await acceptFile(f.records, first)).toEqual({
    fileId: first.fileId,
    outcome: 'accepted',
    state: 'QUEUED',
    generation: 1,
  })
  const before = await getFile(f.records, first.fileId)
  const other = { ...first, fingerprint: randomBytes(32), source: { root: 'in', path: 'other' } }
  expect((await acceptFile(f.records, other)).outcome).toBe('conflict')
  expect(await getFile(f.records, first.fileId)).toEqual(before)
})

test('the states of many files come in one statement, unknown ones left out', async () => {
  const [queued, dead] = [request(), request()]
  await acceptFile(f.records, queued)
  const end = { code: 'SOURCE_MISSING', class: 'permanent-source', message: 'gone', disposition: 'dead' } as const
  await claimFile(f.records, dead)
  await failAttempt(f.records, { fileId: dead.fileId, owner: dead.owner, attemptNo: 1, ...end })
  await f.sql.query(`UPDATE files SET generation = 3 WHERE id = $1`, [queued.fileId])
  const states = await fileStates(f.records, [dead.fileId, randomUUID(), queued.fileId])
  expect(states).toEqual([
    { fileId: dead.fileId, state: 'DEAD', generation: 1, code: 'SOURCE_MISSING' },
    { fileId: queued.fileId, state: 'QUEUED', generation: 3 },
  ])
  expect(await acceptFile(f.records, queued)).toMatchObject({ outcome: 'exists-same', generation: 3 })
  expect(await fileStates(f.records, [])).toEqual([])
})

test('of two requests with one id in one list the first counts', async () => {
  const first = request()
  const other = { ...first, fingerprint: randomBytes(32) }
  const outcomes = await acceptFiles(f.records, [first, other, first])
  expect(outcomes.map((answer) => answer.outcome)).toEqual(['accepted', 'conflict', 'exists-same'])
})

test('lists that overlap, written at once, are all answered and written once', async () => {
  const files = Array.from({ length: 200 }, () => request())
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, i) => acceptFiles(f.records, i % 2 === 0 ? files : [...files].reverse())),
  )
  const accepted = answers.flat().filter((answer) => answer.outcome === 'accepted')
  expect(new Set(accepted.map((answer) => answer.fileId)).size).toBe(200)
  expect(accepted).toHaveLength(200)
  expect(answers.flat().filter((answer) => answer.outcome === 'exists-same')).toHaveLength(1_000)
})

test('paths of any script, quotes and percent signs come back as they went in', async () => {
  const path = `ça/文件/'; DROP TABLE files; --/100%/_\\x"\n.bin`
  const file = request({ source: { root: 'in', path } })
  await acceptFile(f.records, file)
  expect((await getFile(f.records, file.fileId))?.file.source.path).toBe(path)
})

test.each([
  ['a NUL in the path', { source: { root: 'in', path: 'a\0b' } }, 'INVALID'],
  ['half a surrogate pair', { source: { root: 'in', path: 'a\ud800' } }, 'INVALID'],
  ['an empty path', { source: { root: 'in', path: '' } }, 'INVALID'],
  ['1,025 bytes of context', { context: Buffer.alloc(1_025) }, 'INVALID'],
  ['a domain that is no UUID', { domain: 'tenant-1' }, 'INVALID'],
  ['the zero UUID for the default domain', { domain: '00000000-0000-0000-0000-000000000000' }, 'INVALID'],
  ['an unknown domain', { domain: randomUUID() }, 'NOT_FOUND'],
  ['an unknown batch', { batchId: randomUUID() }, 'NOT_FOUND'],
])('%s is refused', async (_, over, code) => {
  await expect(acceptFile(f.records, request(over))).rejects.toMatchObject({ name: 'RecordsError', code })
})

test('nothing of a list is accepted when one of it is refused', async () => {
  const good = request()
  await expect(acceptFiles(f.records, [good, request({ context: Buffer.alloc(2_000) })])).rejects.toThrow()
  expect(await getFile(f.records, good.fileId)).toBeUndefined()
})

test('takes a path of 4,096 bytes that does not compress, and finds it', async () => {
  const path = randomBytes(2048).toString('hex').slice(0, 1024) + randomBytes(2304).toString('base64url').slice(0, 3072)
  const file = request({ source: { root: 'inbox', path } })
  expect(await acceptFile(f.records, file)).toMatchObject({ outcome: 'accepted' })
  expect((await listFiles(f.records, { path })).files.map((one) => one.file.id)).toEqual([file.fileId])
  expect((await listFiles(f.records, { prefix: path.slice(0, 3000) })).files).toHaveLength(1)
})

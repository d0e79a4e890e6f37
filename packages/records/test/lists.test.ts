import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { appendAudit, listAudit } from '../src/audit/append-audit.js'
import { batchProgress, createBatch, getBatch } from '../src/files/batches.js'
import { claimFile } from '../src/files/claim-file.js'
import { clearPinLockout, getPinLockout, setPinLockout } from '../src/keys/pin-lockout-rows.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { fileBalance, fileCounts, countsByState } from '../src/files/counts.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { fleetPinLockout } from '../src/keys/pin-lockout.js'
import { forgetWorkers, heartbeat, listWorkers } from '../src/upkeep/workers.js'
import { getFile } from '../src/files/get-file.js'
import { listFiles, type ListedFile } from '../src/files/list-files.js'
import { traceFile } from '../src/files/trace-file.js'
import { acceptFile, attempt, commitOf, endLease, openFixture, opened, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

const MISSING = { code: 'SOURCE_MISSING', class: 'permanent-source', message: 'gone', disposition: 'dead' } as const

async function all(filter: Parameters<typeof listFiles>[1], limit: number): Promise<ListedFile[]> {
  const found: ListedFile[] = []
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await listFiles(f.records, { ...filter, limit, cursor })
    expect(page.files.length).toBeLessThanOrEqual(limit)
    found.push(...page.files)
    cursor = page.nextCursor
  }
  return found
}

describe('listFiles', () => {
  test('shows each file once, page by page, in either order, though many share a millisecond', async () => {
    const batch = await createBatch(f.records, { createdBy: 'test' })
    const files = Array.from({ length: 23 }, () => request({ batchId: batch.id }))
    await Promise.all(files.map((file) => acceptFile(f.records, file)))
    const forward = (await all({ batchId: batch.id }, 5)).map(({ file }) => file.id)
    const backward = (await all({ batchId: batch.id, newestFirst: true }, 7)).map(({ file }) => file.id)
    expect([...forward].sort()).toEqual(files.map((file) => file.fileId).sort())
    expect(backward).toEqual([...forward].reverse())
  })

  test('filters by state, root, prefix and domain; % and _ are letters like any other', async () => {
    const root = randomUUID()
    const paths = ['a/1', 'a/2', 'a_b/1', 'axb/1', '100%/1', '1000/1', 'A/1', 'a\\b']
    for (const path of paths) await acceptFile(f.records, request({ source: { root, path } }))
    const under = async (prefix: string) =>
      (await all({ root, prefix }, 100)).map(({ file }) => file.source.path).sort()
    expect(await under('a/')).toEqual(['a/1', 'a/2'])
    expect(await under('a_')).toEqual(['a_b/1'])
    expect(await under('100%')).toEqual(['100%/1'])
    expect(await under('a\\')).toEqual(['a\\b'])
    expect(await under('')).toHaveLength(paths.length)
    expect(await all({ root, domain: 'default', state: 'QUEUED' }, 100)).toHaveLength(paths.length)
    expect(await all({ root, state: 'STORED' }, 100)).toEqual([])
    expect(await all({ root, domain: randomUUID() }, 100)).toEqual([])
  })

  test('says where stored files lie, and shows no nonces', async () => {
    const input = await opened(f)
    await commitAttempt(f.records, commitOf(input))
    const stored = (await all({ state: 'STORED' }, 100)).find(({ file }) => file.id === input.fileId)
    expect(stored?.committed).toMatchObject({
      objectKey: input.objectKey,
      plaintextLength: 3,
      encKeyVersion: 1,
      sigKeyVersion: 1,
    })
    expect(stored?.committed).not.toHaveProperty('nonces')
  })

  test.each(['', 'x', '12', '12.34', `${Date.now()}.x`, `99999999999999999.${randomUUID()}`])(
    'refuses a cursor that is none: %j',
    async (cursor) => {
      await expect(listFiles(f.records, { cursor })).rejects.toMatchObject({ code: 'INVALID' })
    },
  )

  test('finds a prefix by an index', async () => {
    const { rows } = await f.sql
      .query<{ 'QUERY PLAN': string }>(
        `SET enable_seqscan = off; EXPLAIN SELECT id FROM files WHERE source_path LIKE 'folder/sub%'`,
      )
      .then((results) => (results as unknown as { rows: { 'QUERY PLAN': string }[] }[])[1]!)
    expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toMatch(/files_source_path_idx[^]*source_path (>=|\^@) /)
  })
})

test('a file that does not exist is undefined, everywhere', async () => {
  const id = randomUUID()
  expect(await getFile(f.records, id)).toBeUndefined()
  expect(await traceFile(f.records, id)).toBeUndefined()
  expect(await getBatch(f.records, id)).toBeUndefined()
  expect(await batchProgress(f.records, id)).toBeUndefined()
})

test('a batch reports what became of its files', async () => {
  const batch = await createBatch(f.records, { name: 'b', expected: 4, createdBy: 'me' })
  expect(await createBatch(f.records, { id: batch.id, name: 'other', createdBy: 'you' })).toEqual(batch)
  await acceptFile(f.records, request({ batchId: batch.id }))
  await opened(f, { batchId: batch.id })
  await commitAttempt(f.records, commitOf(await opened(f, { batchId: batch.id })))
  await failAttempt(f.records, { ...(await opened(f, { batchId: batch.id })), ...MISSING })
  expect(await batchProgress(f.records, batch.id)).toEqual({
    batch,
    accepted: 4,
    byState: { QUEUED: 1, RUNNING: 1, STORED: 1, DEAD: 1, DISCARDED: 0, DELETED: 0 },
    finished: 2,
    storedPlaintextBytes: 3,
    deadByCode: { SOURCE_MISSING: 1 },
  })
})

test('the books balance, and name what maintenance has to do', async () => {
  const crashed = await opened(f)
  await endLease(f, crashed.fileId)
  const books = await fileBalance(f.records)
  expect(books).toMatchObject({ difference: 0, deadWithoutLetter: 0, strayCommits: 0 })
  expect(books.expiredLeases).toBeGreaterThanOrEqual(1)
  expect(books.orphanedAttempts).toBeGreaterThanOrEqual(1)
  expect(books.byState).toEqual(await countsByState(f.records))
  expect({ ...(await fileCounts(f.records)), strayCommits: 0 }).toEqual(books)
  const job = { fileId: crashed.fileId, owner: 'heir' }
  const { file } = (await getFile(f.records, job.fileId))!
  await claimFile(f.records, { ...request({ fileId: file.id, fingerprint: file.fingerprint }), owner: job.owner })
  expect((await fileBalance(f.records)).expiredLeases).toBe(books.expiredLeases - 1)
  // The next claim closes the dead worker's attempt.
  expect((await fileBalance(f.records)).orphanedAttempts).toBe(books.orphanedAttempts - 1)
  // A dead file whose letter someone closed without bringing the file back does not go unnoticed.
  const dead = await opened(f)
  await failAttempt(f.records, { ...dead, ...MISSING })
  await f.sql.query(
    `UPDATE dead_letters SET state = 'REPLAYED', resolved_at = now(), resolved_by = 'x' WHERE file_id = $1`,
    [dead.fileId],
  )
  expect((await fileBalance(f.records)).deadWithoutLetter).toBe(1)
})

test('a trace has the whole story, crashes included', async () => {
  const job = request()
  const first = await opened(f, job)
  await endLease(f, job.fileId)
  await claimFile(f.records, { ...job, owner: 'heir', leaseSeconds: 60 })
  const second = attempt(f, { fileId: job.fileId, owner: 'heir' }, { attemptNo: 2 })
  await failAttempt(f.records, { ...second, ...MISSING })
  await appendAudit(f.records, {
    actor: 'op',
    action: 'file.look',
    subjectKind: 'file',
    subjectId: job.fileId,
    detail: { n: 1 },
  })
  const trace = await traceFile(f.records, job.fileId)
  expect(trace?.file).toMatchObject({ state: 'DEAD', crashes: 1, lastAttemptNo: 2 })
  expect(trace?.attempts.map((a) => a.id)).toEqual([first.attemptId])
  expect(trace?.failures).toMatchObject([
    { attemptNo: 1, attemptId: first.attemptId, code: 'WORKER_DIED', disposition: 'release' },
    { attemptNo: 2, attemptId: second.attemptId, owner: 'heir' },
  ])
  expect(trace?.deadLetters).toHaveLength(1)
  expect(trace?.audit).toMatchObject([{ actor: 'op', action: 'file.look', detail: { n: 1 } }])
})

test('the audit log keeps order, and the transaction of each row', async () => {
  const subject = { subjectKind: 'key', subjectId: randomUUID() }
  const entry = (action: string) => ({ actor: 'officer', action, ...subject })
  await f.records.transaction(async (tx) => {
    await appendAudit(tx, entry('one'))
    await appendAudit(tx, entry('two'))
  })
  await appendAudit(f.records, entry('three'))
  expect((await listAudit(f.records, subject)).map((row) => row.action)).toEqual(['one', 'two', 'three'])
  const { rows } = await f.sql.query<{ xact: string }>('SELECT xact FROM audit_log WHERE subject_id = $1 ORDER BY id', [
    subject.subjectId,
  ])
  expect(rows[0]?.xact).toBe(rows[1]?.xact)
  expect(rows[2]?.xact).not.toBe(rows[1]?.xact)
})

describe('workers', () => {
  const worker = { host: 'h', pid: 7, version: '0.1.0', concurrency: 4 }

  test('live by their heartbeats', async () => {
    const id = randomUUID()
    await heartbeat(f.records, { ...worker, id, state: 'STARTING', ttlSeconds: 60 })
    await heartbeat(f.records, { ...worker, id, state: 'READY', ttlSeconds: 60, detail: { files: 3 } })
    const found = (await listWorkers(f.records)).filter((w) => w.id === id)
    expect(found).toMatchObject([{ state: 'READY', alive: true, pid: 7, detail: { files: 3 } }])
    await heartbeat(f.records, { ...worker, id, state: 'STOPPED', ttlSeconds: 60 })
    expect((await listWorkers(f.records)).find((w) => w.id === id)?.alive).toBe(false)
  })

  test('that have fallen silent are dead, and forgotten later', async () => {
    const id = randomUUID()
    await heartbeat(f.records, { ...worker, id, state: 'READY', ttlSeconds: 0.001 })
    await f.sql.query('SELECT pg_sleep(0.01)')
    expect((await listWorkers(f.records)).find((w) => w.id === id)).toMatchObject({ state: 'READY', alive: false })
    expect(await forgetWorkers(f.records, 3_600)).not.toContain(id)
    expect(await forgetWorkers(f.records, 0)).toContain(id)
  })
})

describe('a PIN’s lockout', () => {
  test('once rejected stays so until it is cleared', async () => {
    const pin = { tokenSerial: randomUUID(), pinId: 'worker' }
    expect(await getPinLockout(f.records, pin)).toBeUndefined()
    expect(await setPinLockout(f.records, { ...pin, state: 'proven', setBy: 'a' })).toMatchObject({
      state: 'proven',
      ckr: null,
    })
    const rejected = await setPinLockout(f.records, { ...pin, state: 'rejected', ckr: 0x800000a0, setBy: 'b' })
    expect(rejected).toMatchObject({ state: 'rejected', ckr: 0x800000a0, setBy: 'b' })
    expect(await setPinLockout(f.records, { ...pin, state: 'proven', setBy: 'c' })).toEqual(rejected)
    expect(await getPinLockout(f.records, pin)).toEqual(rejected)
    expect(await clearPinLockout(f.records, pin)).toBe(true)
    expect(await clearPinLockout(f.records, pin)).toBe(false)
    expect(await setPinLockout(f.records, { ...pin, state: 'proven', setBy: 'd' })).toMatchObject({ state: 'proven' })
  })

  test('of a PIN never proven lets one process try at a time, and after a rejection none', async () => {
    const id = { serial: randomUUID(), token: 't', pinId: 'worker' }
    let logins = 0
    const login = (outcome: 'accepted' | 'rejected' | 'failed') => () => {
      logins++
      return Promise.resolve(outcome)
    }
    const lockout = fleetPinLockout(f.records, 'worker-1')
    const tries = await Promise.all(Array.from({ length: 6 }, () => lockout.guard(id, login('rejected'))))
    expect(tries.sort()).toEqual([...Array<string>(5).fill('locked-out'), 'rejected'])
    expect(logins).toBe(1)
    expect(await lockout.guard(id, login('accepted'))).toBe('locked-out')
    await clearPinLockout(f.records, { tokenSerial: id.serial, pinId: id.pinId })
    expect(await lockout.guard(id, login('failed'))).toBe('failed')
    expect(await lockout.guard(id, login('accepted'))).toBe('accepted')
    // Proven: no more turns. Changed at the token: locked out by the first who is told.
    expect(await lockout.guard(id, login('rejected'))).toBe('rejected')
    expect(await lockout.guard(id, login('accepted'))).toBe('locked-out')
    expect(logins).toBe(4)
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { abandonAttempt, listOrphanedAttempts } from '../src/attempts/abandon-attempt.js'
import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { failureHistory } from '../src/attempts/failure-history.js'
import { getFile } from '../src/files/get-file.js'
import { heartbeat } from '../src/upkeep/workers.js'
import { openAttempt } from '../src/attempts/open-attempt.js'
import { traceFile, type FileTrace } from '../src/files/trace-file.js'
import { attempt, commitOf, endLease, opened, openFixture, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

const heir = async (fileId: string, owner = 'heir/1') => {
  const { file } = (await getFile(f.records, fileId))!
  return claimFile(f.records, { ...request({ fileId, fingerprint: file.fingerprint, owner }), source: file.source })
}
const traced = async (fileId: string): Promise<FileTrace> => (await traceFile(f.records, fileId))!

describe('a worker that died', () => {
  test('is named by the next claim, with process and host, and its attempt is closed', async () => {
    const worker = { id: 'host-17-abc', host: 'sealer-7', pid: 4217, version: '0', concurrency: 1, ttlSeconds: 45 }
    await heartbeat(f.records, { ...worker, state: 'READY' })
    const first = await opened(f, { owner: 'host-17-abc/5f' })
    await endLease(f, first.fileId)
    expect(await heir(first.fileId)).toMatchObject({ outcome: 'claimed', attemptNo: 2, crashes: 1 })
    const { attempts, failures, file } = await traced(first.fileId)
    expect(attempts).toMatchObject([{ id: first.attemptId, state: 'ABANDONED', failureCode: 'WORKER_DIED' }])
    expect(attempts[0]?.endedAt).toBeInstanceOf(Date)
    expect(failures).toMatchObject([
      {
        attemptNo: 1,
        attemptId: first.attemptId,
        owner: 'host-17-abc/5f',
        code: 'WORKER_DIED',
        disposition: 'release',
      },
    ])
    expect(failures[0]?.message).toMatch(/process 4217 on sealer-7, last heard of at \d{4}-\S+Z, died or stood still$/)
    expect(file.lastFailure).toMatchObject({ code: 'WORKER_DIED' })
    // It burned no try: crashes are counted on their own.
    const history = { fileId: first.fileId, generation: 1, code: 'WORKER_DIED' }
    expect(await failureHistory(f.records, history)).toEqual({ burned: 0, sameCode: 0 })
  })

  test('before it opened an attempt is named all the same, by its id where its row is gone', async () => {
    const job = request({ owner: 'gone-1/a' })
    await claimFile(f.records, job)
    await endLease(f, job.fileId)
    await heir(job.fileId)
    const { attempts, failures } = await traced(job.fileId)
    expect(attempts).toEqual([])
    expect(failures).toMatchObject([{ attemptNo: 1, attemptId: null, owner: 'gone-1/a' }])
    expect(failures[0]?.message).toBe('the lease ran out: worker gone-1 died or stood still')
  })

  test('is noted once, anyone who asks for the file at the same time, and comes too late to commit or to fail', async () => {
    const first = await opened(f)
    await endLease(f, first.fileId)
    const claims = await Promise.all(Array.from({ length: 20 }, (_, i) => heir(first.fileId, `heir/${i}`)))
    expect(claims.filter(({ outcome }) => outcome === 'claimed')).toHaveLength(1)
    expect((await traced(first.fileId)).failures).toHaveLength(1)
    expect(await commitAttempt(f.records, commitOf(first))).toBe('fenced')
    const end = { fileId: first.fileId, owner: first.owner, attemptNo: 1, code: 'SOURCE_BUSY', class: 'x', message: '' }
    expect(await failAttempt(f.records, { ...end, disposition: 'dead' })).toBe('fenced')
    expect((await traced(first.fileId)).file).toMatchObject({ state: 'RUNNING', crashes: 1 })
  })

  test('is no worker that gave its file back, or failed it', async () => {
    const first = await opened(f)
    const end = {
      fileId: first.fileId,
      owner: first.owner,
      attemptNo: 1,
      code: 'SOURCE_BUSY',
      class: 'x',
      message: 'b',
    }
    await failAttempt(f.records, { ...end, disposition: 'retry' })
    expect(await heir(first.fileId)).toMatchObject({ outcome: 'claimed', crashes: 0 })
    const { failures, attempts, file } = await traced(first.fileId)
    expect(failures.map(({ code }) => code)).toEqual(['SOURCE_BUSY'])
    expect(attempts).toMatchObject([{ state: 'FAILED', failureCode: 'SOURCE_BUSY' }])
    expect(file.lastFailure).toMatchObject({ code: 'SOURCE_BUSY' })
  })

  test('is what maintenance closes its attempt with, when no claim came first; the claim then finds it closed', async () => {
    const first = await opened(f)
    await endLease(f, first.fileId)
    const orphans = await listOrphanedAttempts(f.records, { openedBefore: new Date(Date.now() + 60_000) })
    expect(orphans.map(({ id }) => id)).toContain(first.attemptId)
    expect(await abandonAttempt(f.records, first.attemptId)).toBe(true)
    await heir(first.fileId)
    const { attempts, failures } = await traced(first.fileId)
    expect(attempts).toMatchObject([{ state: 'ABANDONED', failureCode: 'WORKER_DIED' }])
    expect(failures).toMatchObject([{ attemptId: first.attemptId, code: 'WORKER_DIED' }])
  })

  test('does not keep the next one from opening its own attempt', async () => {
    const first = await opened(f)
    await endLease(f, first.fileId)
    await heir(first.fileId)
    const second = attempt(f, { fileId: first.fileId, owner: 'heir/1' }, { attemptNo: 2 })
    await openAttempt(f.records, second)
    expect(await commitAttempt(f.records, commitOf(second))).toBe('committed')
    expect((await traced(first.fileId)).attempts.map(({ state }) => state)).toEqual(['ABANDONED', 'COMMITTED'])
  })
})

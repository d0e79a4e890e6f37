import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { abandonAttempt, listOrphanedAttempts } from '../src/attempts/abandon-attempt.js'
import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { failAttempt, type FailInput } from '../src/attempts/fail-attempt.js'
import { failureHistory } from '../src/attempts/failure-history.js'
import { getDeadLetter, listDeadLetters } from '../src/files/dead-letters.js'
import { getFile } from '../src/files/get-file.js'
import { openAttempt } from '../src/attempts/open-attempt.js'
import { recordRefusal } from '../src/files/record-refusal.js'
import { traceFile } from '../src/files/trace-file.js'
import { attempt, commitOf, endLease, openFixture, opened, releaseFile, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

type How = Pick<FailInput, 'code' | 'class' | 'message' | 'disposition'>
const BUSY: How = { code: 'SOURCE_BUSY', class: 'transient-source', message: 'in use', disposition: 'retry' }
const MISSING: How = { code: 'SOURCE_MISSING', class: 'permanent-source', message: 'gone', disposition: 'dead' }

describe('failAttempt', () => {
  test('to be tried again: back to the queue, the attempt FAILED, the failure in the history', async () => {
    const input = await opened(f)
    expect(await failAttempt(f.records, { ...input, ...BUSY })).toBe('recorded')
    const trace = await traceFile(f.records, input.fileId)
    expect(trace?.file).toMatchObject({
      state: 'QUEUED',
      lease: null,
      lastFailure: { code: 'SOURCE_BUSY' },
      crashes: 0,
    })
    expect(trace?.attempts).toMatchObject([{ id: input.attemptId, state: 'FAILED', failureCode: 'SOURCE_BUSY' }])
    expect(trace?.failures).toMatchObject([
      { attemptNo: 1, attemptId: input.attemptId, disposition: 'retry', code: 'SOURCE_BUSY', message: 'in use' },
    ])
    expect(trace?.deadLetters).toEqual([])
  })

  test('for good: DEAD, with a dead letter that shows the history', async () => {
    const job = request()
    const first = await opened(f, job)
    await failAttempt(f.records, { ...first, ...BUSY })
    await claimFile(f.records, job)
    await failAttempt(f.records, {
      fileId: job.fileId,
      owner: job.owner,
      attemptNo: 2,
      ...MISSING,
      deadLetterOwner: 'upstream',
    })
    expect((await getFile(f.records, job.fileId))?.file.state).toBe('DEAD')
    const [letter] = await listDeadLetters(f.records, { fileId: job.fileId })
    expect(letter).toMatchObject({
      state: 'OPEN',
      code: 'SOURCE_MISSING',
      owner: 'upstream',
      domain: 'default',
      jobId: null,
    })
    const shown = await getDeadLetter(f.records, letter!.id)
    expect(shown.history.map((failure) => failure.code)).toEqual(['SOURCE_BUSY', 'SOURCE_MISSING'])
    expect(shown.history[1]?.attemptId).toBeNull()
  })

  test('on release burns nothing and abandons the attempt', async () => {
    const input = await opened(f)
    expect(await releaseFile(f.records, input)).toBe('recorded')
    const trace = await traceFile(f.records, input.fileId)
    expect(trace?.file.state).toBe('QUEUED')
    expect(trace?.attempts).toMatchObject([{ state: 'ABANDONED', failureCode: 'SHUTDOWN' }])
    expect(await failureHistory(f.records, { fileId: input.fileId, generation: 1, code: 'SHUTDOWN' })).toEqual({
      burned: 0,
      sameCode: 0,
    })
  })

  test('whose answer was lost is recognised, and writes nothing twice', async () => {
    const input = await opened(f)
    await failAttempt(f.records, { ...input, ...MISSING })
    const before = await traceFile(f.records, input.fileId)
    expect(await failAttempt(f.records, { ...input, ...MISSING })).toBe('recorded')
    expect(await traceFile(f.records, input.fileId)).toEqual(before)
  })

  test('by who lost the file changes nothing', async () => {
    const job = request()
    const late = await opened(f, job)
    await endLease(f, job.fileId)
    await claimFile(f.records, { ...job, owner: 'heir', leaseSeconds: 60 })
    const before = await traceFile(f.records, job.fileId)
    expect(await failAttempt(f.records, { ...late, ...MISSING })).toBe('fenced')
    expect(await traceFile(f.records, job.fileId)).toEqual(before)
  })

  test('after the lease ran out still counts while no one else has the file: an outcome is no crash', async () => {
    const job = request()
    const input = await opened(f, job)
    await endLease(f, job.fileId)
    expect(await failAttempt(f.records, { ...input, ...BUSY })).toBe('recorded')
    expect(await claimFile(f.records, job)).toMatchObject({ outcome: 'claimed', attemptNo: 2, crashes: 0 })
  })

  test('keeps a message within bounds, and without NUL', async () => {
    const input = await opened(f)
    await failAttempt(f.records, { ...input, ...BUSY, message: `a\0b${'x'.repeat(5_000)}` })
    const message = (await traceFile(f.records, input.fileId))?.failures[0]?.message
    expect(message).toHaveLength(2_000)
    expect(message?.startsWith('abx')).toBe(true)
  })
})

test('failures are counted by generation and code', async () => {
  const job = request()
  for (const code of ['SOURCE_BUSY', 'SOURCE_IO', 'SOURCE_BUSY']) {
    const claim = await claimFile(f.records, job)
    if (claim.outcome !== 'claimed') throw new Error(claim.outcome)
    const { attemptNo } = claim
    await failAttempt(f.records, { fileId: job.fileId, owner: job.owner, attemptNo, ...BUSY, code })
  }
  const of = (generation: number) => failureHistory(f.records, { fileId: job.fileId, generation, code: 'SOURCE_BUSY' })
  expect(await of(1)).toEqual({ burned: 3, sameCode: 2 })
  expect(await of(2)).toEqual({ burned: 0, sameCode: 0 })
})

describe('a refused request', () => {
  test('is a dead letter once, and leaves the file of that id as it is', async () => {
    const input = await opened(f)
    const before = await getFile(f.records, input.fileId)
    const refusal = {
      jobId: `f-${input.fileId}-g1`,
      fileId: input.fileId,
      domain: 'default',
      code: 'REQUEST_CONFLICT',
      class: 'permanent-request',
      reason: 'the id stands for another source',
      requestFingerprint: randomBytes(32),
    }
    expect(await recordRefusal(f.records, refusal)).toBe(true)
    expect(await recordRefusal(f.records, refusal)).toBe(false)
    expect(await recordRefusal(f.records, { ...refusal, requestFingerprint: randomBytes(32) })).toBe(true)
    expect(await getFile(f.records, input.fileId)).toEqual(before)
    expect(await listDeadLetters(f.records, { fileId: input.fileId })).toHaveLength(2)
  })

  test('does not stand in the way of the file’s own dead letter', async () => {
    const input = await opened(f)
    const refusal = { jobId: 'x', code: 'REQUEST_CONFLICT', class: 'permanent-request', reason: 'r' }
    await recordRefusal(f.records, { ...refusal, fileId: input.fileId })
    expect(await failAttempt(f.records, { ...input, ...MISSING })).toBe('recorded')
  })

  test('may name no file, or one that does not exist', async () => {
    const refusal = { code: 'PAYLOAD_INVALID', class: 'permanent-request', reason: 'no source' }
    const jobId = randomUUID()
    expect(await recordRefusal(f.records, { ...refusal, jobId })).toBe(true)
    expect(await recordRefusal(f.records, { ...refusal, jobId: randomUUID(), fileId: randomUUID() })).toBe(true)
    const letters = await listDeadLetters(f.records, { code: 'PAYLOAD_INVALID' })
    expect(letters.find((letter) => letter.jobId === jobId)).toMatchObject({ fileId: null, domain: null })
  })
})

describe('dead letters', () => {
  test('are listed by code, class, domain and age, page by page', async () => {
    const code = `T${randomBytes(4).toString('hex').toUpperCase()}`
    for (let i = 0; i < 5; i++) await failAttempt(f.records, { ...(await opened(f)), ...MISSING, code })
    const all = await listDeadLetters(f.records, { code })
    expect(all).toHaveLength(5)
    const first = await listDeadLetters(f.records, { code, limit: 2 })
    const rest = await listDeadLetters(f.records, { code, after: first.at(-1)! })
    expect([...first, ...rest]).toEqual(all)
    expect(await listDeadLetters(f.records, { code, class: 'integrity' })).toEqual([])
    expect(await listDeadLetters(f.records, { code, domain: 'default' })).toHaveLength(5)
    expect(await listDeadLetters(f.records, { code, before: all[0]!.createdAt })).toEqual([])
    expect(await listDeadLetters(f.records, { code, since: all[0]!.createdAt })).toHaveLength(5)
    expect(await listDeadLetters(f.records, { code, state: 'REPLAYED' })).toEqual([])
  })

  test('that do not exist are not found', async () => {
    await expect(getDeadLetter(f.records, randomUUID())).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('abandonAttempt', () => {
  test('takes an attempt that no live lease covers, once; it cannot commit afterwards', async () => {
    const job = request()
    const input = await opened(f, job)
    expect(await abandonAttempt(f.records, input.attemptId)).toBe(false)
    await endLease(f, job.fileId)
    const orphans = await listOrphanedAttempts(f.records, { openedBefore: new Date(Date.now() + 60_000) })
    expect(orphans).toContainEqual({
      id: input.attemptId,
      fileId: input.fileId,
      bucket: input.bucket,
      objectKey: input.objectKey,
    })
    expect(await abandonAttempt(f.records, input.attemptId)).toBe(true)
    expect(await abandonAttempt(f.records, input.attemptId)).toBe(false)
    expect(await commitAttempt(f.records, commitOf(input))).toBe('fenced')
  })

  test('leaves a successor alone; what crashed before it was closed by its claim', async () => {
    const job = request()
    const crashed = await opened(f, job)
    await endLease(f, job.fileId)
    await claimFile(f.records, { ...job, owner: 'heir', leaseSeconds: 60 })
    const heir = attempt(f, { fileId: job.fileId, owner: 'heir' }, { attemptNo: 2 })
    await openAttempt(f.records, heir)
    expect(await abandonAttempt(f.records, heir.attemptId)).toBe(false)
    expect(await abandonAttempt(f.records, crashed.attemptId)).toBe(false)
    expect(await commitAttempt(f.records, commitOf(heir))).toBe('committed')
    expect(await abandonAttempt(f.records, heir.attemptId)).toBe(false)
  })
})

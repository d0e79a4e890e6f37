import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { claimFile } from '../src/files/claim-file.js'
import { discardDeadLetter, replayDeadLetter } from '../src/files/resolve-dead-letter.js'
import { failAttempt, type FailInput } from '../src/attempts/fail-attempt.js'
import { getDeadLetter, listDeadLetters } from '../src/files/dead-letters.js'
import { getFile } from '../src/files/get-file.js'
import { recordRefusal } from '../src/files/record-refusal.js'
import { traceFile } from '../src/files/trace-file.js'
import { opened, openFixture, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

const MISSING = {
  code: 'SOURCE_MISSING',
  class: 'permanent-source',
  message: 'gone',
  disposition: 'dead',
} as const satisfies Pick<FailInput, 'code' | 'class' | 'message' | 'disposition'>
const WHO = { actor: 'cli:test' }

/** A dead file and its letter. */
async function dead(job = request()): Promise<{ job: typeof job; letter: string }> {
  await failAttempt(f.records, { ...(await opened(f, job)), ...MISSING })
  const [letter] = await listDeadLetters(f.records, { fileId: job.fileId })
  return { job, letter: letter!.id }
}

async function refusal(fileId?: string): Promise<string> {
  const jobId = randomUUID()
  const refused = { jobId, code: 'REQUEST_CONFLICT', class: 'permanent-request', reason: 'another request' }
  await recordRefusal(f.records, { ...refused, ...(fileId === undefined ? {} : { fileId }) })
  const letters = await listDeadLetters(f.records, { code: 'REQUEST_CONFLICT', limit: 1_000 })
  return letters.find((letter) => letter.jobId === jobId)!.id
}

describe('replayDeadLetter', () => {
  test('queues the file in a new generation; attempt numbers go on; letter and audit say who and why', async () => {
    const { job, letter } = await dead()
    const replayed = await replayDeadLetter(f.records, { id: letter, ...WHO, reason: 'it is back' })
    expect(replayed).toEqual({ outcome: 'done', fileId: job.fileId, generation: 2 })
    expect((await getDeadLetter(f.records, letter)).letter).toMatchObject({
      state: 'REPLAYED',
      resolvedBy: 'cli:test',
      resolution: 'it is back',
    })
    const trace = await traceFile(f.records, job.fileId)
    expect(trace?.file).toMatchObject({ state: 'QUEUED', generation: 2, crashes: 0, lease: null })
    expect(trace?.audit).toMatchObject([{ actor: 'cli:test', action: 'dlq.replay', detail: { letter, generation: 2 } }])
    const claim = await claimFile(f.records, { ...job, generation: 2 })
    expect(claim).toMatchObject({ attemptNo: 2 })
  })

  test('by two at once happens once', async () => {
    const { job, letter } = await dead()
    const both = await Promise.all([1, 2, 3].map(() => replayDeadLetter(f.records, { id: letter, ...WHO })))
    expect(both.map(({ outcome }) => outcome).sort()).toEqual(['done', 'resolved', 'resolved'])
    expect((await getFile(f.records, job.fileId))?.file.generation).toBe(2)
  })

  test('and a discard at once: one of them happens', async () => {
    const { job, letter } = await dead()
    const input = { id: letter, ...WHO, reason: 'either' }
    const both = await Promise.all([replayDeadLetter(f.records, input), discardDeadLetter(f.records, input)])
    expect(both.filter(({ outcome }) => outcome === 'done')).toHaveLength(1)
    const [replayed] = both
    const state = (await getFile(f.records, job.fileId))?.file.state
    expect(state).toBe(replayed.outcome === 'done' ? 'QUEUED' : 'DISCARDED')
  })

  test('of a file that died again is another letter’s business', async () => {
    const { job, letter } = await dead()
    await replayDeadLetter(f.records, { id: letter, ...WHO })
    await claimFile(f.records, { ...job, generation: 2 })
    await failAttempt(f.records, { fileId: job.fileId, owner: job.owner, attemptNo: 2, ...MISSING })
    expect(await replayDeadLetter(f.records, { id: letter, ...WHO })).toMatchObject({ outcome: 'resolved' })
    const open = await listDeadLetters(f.records, { fileId: job.fileId })
    expect(open).toMatchObject([{ generation: 2, state: 'OPEN' }])
    expect(await replayDeadLetter(f.records, { id: open[0]!.id, ...WHO })).toMatchObject({ generation: 3 })
  })

  test('of a refused request does nothing, and its file stays dead or alive', async () => {
    const { job } = await dead()
    const refused = await refusal(job.fileId)
    expect(await replayDeadLetter(f.records, { id: refused, ...WHO })).toMatchObject({ outcome: 'refused-request' })
    expect((await getFile(f.records, job.fileId))?.file.state).toBe('DEAD')
    await expect(replayDeadLetter(f.records, { id: randomUUID(), ...WHO })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('discardDeadLetter', () => {
  test('closes letter and file, with a reason in the audit log', async () => {
    const { job, letter } = await dead()
    const input = { id: letter, ...WHO, reason: 'upstream sent it under another name' }
    expect(await discardDeadLetter(f.records, input)).toMatchObject({ outcome: 'done', fileId: job.fileId })
    const trace = await traceFile(f.records, job.fileId)
    expect(trace?.file.state).toBe('DISCARDED')
    expect(trace?.deadLetters).toMatchObject([{ state: 'DISCARDED', resolution: input.reason }])
    expect(trace?.audit).toMatchObject([{ action: 'dlq.discard', detail: { reason: input.reason } }])
    expect(await discardDeadLetter(f.records, input)).toMatchObject({ outcome: 'resolved' })
    expect(await replayDeadLetter(f.records, input)).toMatchObject({ outcome: 'resolved' })
  })

  test('of a refused request closes the letter alone', async () => {
    const { job } = await dead()
    const refused = await refusal(job.fileId)
    const input = { id: refused, ...WHO, reason: 'explained' }
    expect(await discardDeadLetter(f.records, input)).toMatchObject({ outcome: 'done' })
    expect((await getFile(f.records, job.fileId))?.file.state).toBe('DEAD')
    expect(await discardDeadLetter(f.records, { ...input, id: await refusal() })).toMatchObject({ fileId: null })
  })

  test('wants a reason', async () => {
    const { letter } = await dead()
    await expect(discardDeadLetter(f.records, { id: letter, ...WHO, reason: ' ' })).rejects.toMatchObject({
      code: 'INVALID',
    })
    expect((await getDeadLetter(f.records, letter)).letter.state).toBe('OPEN')
  })
})

import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { getFile } from '../src/files/get-file.js'
import { renewLease } from '../src/attempts/renew-lease.js'
import { traceFile } from '../src/files/trace-file.js'
import { acceptFile, commitOf, endLease, openFixture, opened, releaseFile, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

describe('a first claim', () => {
  test('accepts a file that came straight from the queue, and hands over the policy of its domain', async () => {
    const job = request({ context: Buffer.from([0, 255]) })
    const claim = await claimFile(f.records, job)
    expect(claim).toMatchObject({
      outcome: 'claimed',
      attemptNo: 1,
      crashes: 0,
      domain: { id: 'default', suite: 1, nonceMode: 'inline', segLog2: 20 },
      file: { id: job.fileId, state: 'RUNNING', source: job.source, context: job.context, lease: { owner: job.owner } },
    })
  })

  test('takes a file that was accepted before', async () => {
    const job = request()
    await acceptFile(f.records, job)
    expect(await claimFile(f.records, job)).toMatchObject({ outcome: 'claimed', attemptNo: 1 })
  })

  test('of 20 at once, on a file no one has heard of, has one winner', async () => {
    const job = request()
    const claims = await Promise.all(
      Array.from({ length: 20 }, (_, i) => claimFile(f.records, { ...job, owner: `racer-${i}` })),
    )
    expect(claims.filter((claim) => claim.outcome === 'claimed')).toHaveLength(1)
    expect(claims.filter((claim) => claim.outcome === 'leased')).toHaveLength(19)
    expect((await getFile(f.records, job.fileId))?.file.lastAttemptNo).toBe(1)
  })

  test('of 20 at once, on an accepted file, has one winner', async () => {
    const job = request()
    await acceptFile(f.records, job)
    const claims = await Promise.all(
      Array.from({ length: 20 }, (_, i) => claimFile(f.records, { ...job, owner: `racer-${i}` })),
    )
    expect(claims.map((claim) => claim.outcome).sort()).toEqual(['claimed', ...Array<string>(19).fill('leased')])
  })
})

describe('a lease', () => {
  test('that is alive keeps others out and says how long', async () => {
    const job = request({ leaseSeconds: 30 })
    await claimFile(f.records, job)
    const other = await claimFile(f.records, { ...job, owner: 'other' })
    expect(other.outcome).toBe('leased')
    expect(other).toHaveProperty('expiresInMs')
    if (other.outcome === 'leased') {
      expect(other.expiresInMs).toBeGreaterThan(0)
      expect(other.expiresInMs).toBeLessThanOrEqual(30_000)
    }
  })

  test('keeps out a second activation of the same worker as well', async () => {
    const job = request()
    await claimFile(f.records, job)
    expect((await claimFile(f.records, job)).outcome).toBe('leased')
  })

  test('that has run out passes to one of 20, counts as a crash, and closes the attempt', async () => {
    const first = await opened(f)
    await endLease(f, first.fileId)
    const { file } = (await getFile(f.records, first.fileId))!
    const job = { ...request({ fileId: file.id, fingerprint: file.fingerprint }), source: file.source }
    const claims = await Promise.all(
      Array.from({ length: 20 }, (_, i) => claimFile(f.records, { ...job, owner: `heir-${i}` })),
    )
    const won = claims.filter((claim) => claim.outcome === 'claimed')
    expect(won).toHaveLength(1)
    expect(won[0]).toMatchObject({ attemptNo: 2, crashes: 1 })
    const trace = await traceFile(f.records, first.fileId)
    expect(trace?.attempts.map(({ id, state }) => ({ id, state }))).toEqual([
      { id: first.attemptId, state: 'ABANDONED' },
    ])
  })

  test('is renewed by its owner alone, for its own attempt alone', async () => {
    const job = request({ leaseSeconds: 10 })
    await claimFile(f.records, job)
    const lease = { fileId: job.fileId, owner: job.owner, attemptNo: 1, leaseSeconds: 600 }
    const before = (await getFile(f.records, job.fileId))?.file.lease?.expiresAt
    expect(await renewLease(f.records, { ...lease, owner: 'other' })).toBe(false)
    expect(await renewLease(f.records, { ...lease, attemptNo: 2 })).toBe(false)
    expect(await renewLease(f.records, { ...lease, fileId: randomUUID() })).toBe(false)
    expect((await getFile(f.records, job.fileId))?.file.lease?.expiresAt).toEqual(before)
    expect(await renewLease(f.records, lease)).toBe(true)
    const after = (await getFile(f.records, job.fileId))?.file.lease?.expiresAt
    expect(after!.getTime() - before!.getTime()).toBeGreaterThan(500_000)
  })

  test('that has run out is not revived, even if no one took the file', async () => {
    const job = request()
    await claimFile(f.records, job)
    await endLease(f, job.fileId)
    expect(await renewLease(f.records, { fileId: job.fileId, owner: job.owner, attemptNo: 1, leaseSeconds: 60 })).toBe(
      false,
    )
  })

  test('given back is free at once, the next attempt number is higher, and it was no crash', async () => {
    const job = request()
    await claimFile(f.records, job)
    await releaseFile(f.records, { fileId: job.fileId, owner: job.owner, attemptNo: 1 })
    expect(await claimFile(f.records, { ...job, owner: 'next' })).toMatchObject({
      outcome: 'claimed',
      attemptNo: 2,
      crashes: 0,
    })
  })
})

describe('a claim finds', () => {
  test('a stored file: nothing is left to do', async () => {
    const input = await opened(f)
    await commitAttempt(f.records, commitOf(input))
    const { file } = (await getFile(f.records, input.fileId))!
    expect((await claimFile(f.records, request({ fileId: file.id, fingerprint: file.fingerprint }))).outcome).toBe(
      'stored',
    )
  })

  test('a dead file', async () => {
    const job = request()
    await claimFile(f.records, job)
    const end = { code: 'SOURCE_MISSING', class: 'permanent-source', message: 'gone', disposition: 'dead' } as const
    await failAttempt(f.records, { fileId: job.fileId, owner: job.owner, attemptNo: 1, ...end })
    expect((await claimFile(f.records, job)).outcome).toBe('dead')
  })

  test.each(['QUEUED', 'RUNNING', 'STORED'])(
    'the id taken by another request, which stays %s as it is',
    async (state) => {
      const job = request()
      if (state === 'QUEUED') await acceptFile(f.records, job)
      else {
        const input = await opened(f, job)
        if (state === 'STORED') await commitAttempt(f.records, commitOf(input))
      }
      const before = await getFile(f.records, job.fileId)
      const other = await claimFile(f.records, { ...job, fingerprint: randomBytes(32), owner: 'other' })
      expect(other.outcome).toBe('conflict')
      expect(await getFile(f.records, job.fileId)).toEqual(before)
      expect(before?.file.state).toBe(state)
    },
  )

  test.each([1, 3])('a job of generation %i for a file of generation 2: a stale hint', async (generation) => {
    const job = request({ generation: 2 })
    await acceptFile(f.records, job)
    expect((await claimFile(f.records, { ...job, generation })).outcome).toBe('superseded-generation')
    expect((await getFile(f.records, job.fileId))?.file).toMatchObject({ state: 'QUEUED', generation: 2 })
  })

  test('no such domain, and writes nothing', async () => {
    const job = request({ domain: randomUUID() })
    expect(await claimFile(f.records, job)).toEqual({ outcome: 'unknown-domain' })
    expect(await getFile(f.records, job.fileId)).toBeUndefined()
  })

  test.each(['UPPER', 'not-a-uuid', '', '00000000-0000-0000-0000-00000000000G', '../../etc'])(
    'a hostile file id %j',
    async (fileId) => {
      await expect(claimFile(f.records, request({ fileId }))).rejects.toMatchObject({ code: 'INVALID' })
    },
  )
})

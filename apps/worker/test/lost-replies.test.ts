import { randomBytes } from 'node:crypto'

import { traceFile } from '@sealfleet/records/files'
import { COMMIT_STATEMENT, longTest, startFaultProxy, startStatementProxy } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { startFleet, type Fleet } from './fleet.js'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet({ s3: 'radosgw' })
})
afterAll(() => fleet?.[Symbol.asyncDispose]())

const MIB = 2 ** 20

/** Stored by its first attempt, once, whole, with nothing held against it. */
async function expectStoredAtOnce(fileId: string, content: Buffer): Promise<void> {
  expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
  const trace = await traceFile(fleet.records, fileId)
  expect(trace?.attempts.map(({ state, attemptNo }) => ({ state, attemptNo }))).toEqual([
    { state: 'COMMITTED', attemptNo: 1 },
  ])
  expect(trace?.failures).toEqual([])
  expect(trace?.file.crashes).toBe(0)
  expect((await fleet.restore(fileId)).equals(content)).toBe(true)
}

describe('an answer that is lost exactly after the deed', () => {
  test('COMMIT: the worker asks again, learns that it has won, and reports the file as stored', async () => {
    await using proxy = await startStatementProxy(fleet.database.url)
    await using _worker = await fleet.startWorker({ env: { SEALFLEET_DATABASE_URL: proxy.url } })
    const content = randomBytes(70_000)
    await fleet.writeSource('commit', content)
    proxy.loseAnswerOf(COMMIT_STATEMENT)
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: 'commit' })
    await expectStoredAtOnce(fileId, content)
    expect(proxy.lost()).toBe(1)
    // BullMQ was told so too: the job is done, not waiting to be done again.
    await expect.poll(() => fleet.producer.queue.getJobState(`f-${fileId}-g1`)).toBe('completed')
  })

  test.each([
    ['PutObject', 'small', 70_000],
    ['CompleteMultipartUpload', 'large', 17 * MIB],
    ['CreateMultipartUpload', 'begun', 17 * MIB],
  ] as const)('%s: the worker finds that the object is its own', async (operation, name, size) => {
    await using proxy = await startFaultProxy(fleet.bucket.endpoint)
    await using _worker = await fleet.startWorker({
      env: { SEALFLEET_S3_ENDPOINT: proxy.endpoint, SEALFLEET_S3_PART_SIZE: '5MiB' },
    })
    const content = randomBytes(size)
    await fleet.writeSource(name, content)
    // Once and no more: the SDK's own next try must meet what the first one left.
    proxy.inject(operation, { kind: 'lose-answer' }, { times: 1, when: ({ path }) => !path.includes('probe') })
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: name })
    await expectStoredAtOnce(fileId, content)
    const keys: string[] = []
    for await (const { key } of fleet.ports.store.list(`default/${fileId}/`)) keys.push(key)
    expect(keys).toHaveLength(1)
  })

  longTest('both at once', async () => {
    await using postgres = await startStatementProxy(fleet.database.url)
    await using s3 = await startFaultProxy(fleet.bucket.endpoint)
    await using _worker = await fleet.startWorker({
      env: { SEALFLEET_DATABASE_URL: postgres.url, SEALFLEET_S3_ENDPOINT: s3.endpoint, SEALFLEET_S3_PART_SIZE: '5MiB' },
    })
    const content = randomBytes(12 * MIB)
    await fleet.writeSource('both', content)
    postgres.loseAnswerOf(COMMIT_STATEMENT)
    s3.inject(
      'CompleteMultipartUpload',
      { kind: 'lose-answer' },
      { times: 1, when: ({ path }) => !path.includes('probe') },
    )
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: 'both' })
    await expectStoredAtOnce(fileId, content)
    expect(postgres.lost()).toBe(1)
  })
})

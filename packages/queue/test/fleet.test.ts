import { freshPrefix, redisUrl } from '@sealfleet/testkit'
import { Redis } from 'ioredis'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { deliverJobs, type OpenFile } from '../src/client/deliver.js'
import { openIngestClient } from '../src/client/ingest-client.js'
import { createIngestQueue } from '../src/client/create-queue.js'
import type { AcceptFiles } from '../src/client/terms.js'
import { assertQueuesAreOurs, claimQueues, fleetKey, ownerOfQueues, takeOverQueues } from '../src/fleet.js'
import { ingestJobId } from '../src/ingest/ids.js'
import { addRekeyJobs, createRekeyQueue } from '../src/rekey/job.js'
import { MemoryRecords } from './memory-records.js'

const A = randomUUID()
const B = randomUUID()
const MISMATCH = { code: 'FLEET_MISMATCH' }

const accept: AcceptFiles = (files) => new MemoryRecords().accept(files)

let redis: Redis
let prefix: string
beforeAll(() => {
  redis = new Redis(redisUrl())
})
beforeEach(() => {
  prefix = freshPrefix()
})
afterAll(() => redis.disconnect())

describe('queues', () => {
  test('belong to the fleet that comes first, and only to that', async () => {
    await assertQueuesAreOurs(redis, B, prefix)
    expect(await ownerOfQueues(redis, prefix)).toBeUndefined()
    await claimQueues(redis, A, prefix)
    await claimQueues(redis, A, prefix)
    expect(await ownerOfQueues(redis, prefix)).toBe(A)
    await expect(claimQueues(redis, B, prefix)).rejects.toMatchObject(MISMATCH)
    await expect(assertQueuesAreOurs(redis, B, prefix)).rejects.toThrow(`belong to fleet ${A}, and this is fleet ${B}`)
  })

  test('of a wiped Redis can be claimed again', async () => {
    await claimQueues(redis, A, prefix)
    await redis.del(fleetKey(prefix))
    await claimQueues(redis, B, prefix)
    await expect(claimQueues(redis, A, prefix)).rejects.toMatchObject(MISMATCH)
  })

  test('claimed by many at once get one owner', async () => {
    const fleets = Array.from({ length: 8 }, () => randomUUID())
    const claims = await Promise.allSettled(fleets.map((fleet) => claimQueues(redis, fleet, prefix)))
    expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test.each([
    ['an empty value', ''],
    ['no id', 'x'.repeat(9_000)],
  ])('whose mark is %s are refused, and it is not repeated', async (_, value) => {
    await redis.set(fleetKey(prefix), value)
    await expect(claimQueues(redis, A, prefix)).rejects.toMatchObject({
      ...MISMATCH,
      message: expect.stringContaining('something that is no fleet') as unknown,
    })
  })

  test('can be taken over, which names the fleet that had them', async () => {
    expect(await takeOverQueues(redis, A, prefix)).toBeUndefined()
    expect(await takeOverQueues(redis, B, prefix)).toBe(A)
    await claimQueues(redis, B, prefix)
  })
})

const openFile = (): OpenFile => ({
  id: randomUUID(),
  generation: 1,
  domain: 'default',
  source: { root: 'in', path: 'a' },
  context: Buffer.alloc(0),
})

describe('what adds jobs', () => {
  test('writes the fleet into them', async () => {
    await using owned = await openIngestClient({ redisUrl: redisUrl(), prefix, fleet: A, accept })
    const { fileId = '' } = await owned.client.enqueue({ root: 'in', path: 'a' })
    const file = openFile()
    await deliverJobs(owned.queue, [file], () => Promise.resolve([]))
    for (const id of [fileId, file.id])
      expect((await owned.queue.getJob(ingestJobId(id, 1)))?.data).toMatchObject({ fleet: A })
  })

  test('refuses queues of another fleet before anything is accepted', async () => {
    await claimQueues(redis, A, prefix)
    await expect(openIngestClient({ redisUrl: redisUrl(), prefix, fleet: B, accept })).rejects.toMatchObject(MISMATCH)
  })

  test('adds nothing to queues that became another fleet’s meanwhile', async () => {
    const queue = createIngestQueue(redis, { prefix, fleet: B })
    const rekey = createRekeyQueue(redis, { prefix, fleet: B })
    await using owned = await openIngestClient({ redisUrl: redisUrl(), prefix, fleet: B, accept })
    await takeOverQueues(redis, A, prefix)
    const states = () => Promise.resolve([])
    await expect(deliverJobs(queue, [openFile()], states)).rejects.toMatchObject(MISMATCH)
    await expect(addRekeyJobs(rekey, [{ id: randomUUID(), tries: 1 }])).rejects.toMatchObject(MISMATCH)
    await expect(owned.client.enqueue({ root: 'in', path: 'a' })).rejects.toMatchObject(MISMATCH)
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 0, delayed: 0 })
    expect(await rekey.getJobCounts()).toMatchObject({ waiting: 0, delayed: 0 })
    await Promise.all([queue.close(), rekey.close()])
  })

  test('of a producer that does not know its fleet still works, without the id', async () => {
    await claimQueues(redis, A, prefix)
    await using owned = await openIngestClient({ redisUrl: redisUrl(), prefix, accept })
    const { fileId = '' } = await owned.client.enqueue({ root: 'in', path: 'a' })
    expect((await owned.queue.getJob(ingestJobId(fileId, 1)))?.data).not.toHaveProperty('fleet')
  })
})

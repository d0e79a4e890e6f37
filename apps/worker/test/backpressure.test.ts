import { randomBytes } from 'node:crypto'

import { longTest, startFaultProxy } from '@sealfleet/testkit'
import { expect, test } from 'vitest'

import { startFleet } from './fleet.js'

const MiB = 2 ** 20
const BUDGET = 36 * MiB
const CONCURRENCY = 8

test('a slow store: the bytes in part buffers stay within their budget, and the jobs that wait, wait in the queue', async () => {
  await using fleet = await startFleet({ s3: 'radosgw' })
  await using slow = await startFaultProxy(fleet.bucket.endpoint)
  slow.inject('UploadPart', { kind: 'delay', ms: 200 })
  const content = randomBytes(6 * MiB)
  const names = Array.from({ length: 24 }, (_, i) => `slow/${i}`)
  for (const name of names) await fleet.writeSource(name, content)
  await using _worker = await fleet.startWorker({
    env: {
      SEALFLEET_S3_ENDPOINT: slow.endpoint,
      SEALFLEET_S3_PART_SIZE: '5MiB',
      SEALFLEET_BYTES_IN_FLIGHT: String(BUDGET),
      SEALFLEET_CONCURRENCY: String(CONCURRENCY),
      SEALFLEET_HSM_AGENTS: '1',
      SEALFLEET_WORKER_PORT: '0',
    },
  })
  const { port } = JSON.parse(fleet.logs.find((line) => line.includes('health and metrics')) ?? '{}') as {
    port: number
  }
  const gauges = async (): Promise<{ bytes: number; jobs: number }> => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    const value = (name: string): number => Number(new RegExp(`^sealfleet_${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
    return { bytes: value('worker_bytes_in_flight'), jobs: value('worker_jobs{queue="ingest"}') }
  }

  const results = await fleet.producer.client.enqueueMany(names.map((path) => ({ root: 'in', path })))
  const ids = results.map(({ fileId }) => fileId ?? '')
  let done = false
  const settled = fleet.settled(ids).finally(() => (done = true))
  const seen: { bytes: number; jobs: number; taken: number }[] = []
  while (!done) {
    const { active = 0 } = await fleet.producer.queue.getJobCounts('active')
    seen.push({ ...(await gauges()), taken: active })
  }
  const states = await settled
  expect(ids.map((id) => states.get(id)?.state)).toEqual(ids.map(() => 'STORED'))

  // Two parts of 5 MiB each, and a segment that crosses from one to the other: three such files fit, five of the eight that were taken wait for their bytes.
  expect(Math.max(...seen.map(({ bytes }) => bytes))).toBe(3 * (2 * 5 + 1) * MiB)
  expect(Math.max(...seen.map(({ jobs }) => jobs))).toBe(CONCURRENCY)
  expect(Math.max(...seen.map(({ taken }) => taken))).toBeLessThanOrEqual(CONCURRENCY)
  expect(await gauges()).toEqual({ bytes: 0, jobs: 0 })
})

longTest('few HSM sessions and many files at once: files wait for a session, and none is put off', async () => {
  await using fleet = await startFleet()
  const names = Array.from({ length: 48 }, (_, i) => `many/${i}`)
  for (const name of names) await fleet.writeSource(name, name)
  await using _worker = await fleet.startWorker({
    env: { SEALFLEET_HSM_AGENTS: '1', SEALFLEET_HSM_SESSIONS: '1', SEALFLEET_CONCURRENCY: '24' },
  })
  const results = await fleet.producer.client.enqueueMany(names.map((path) => ({ root: 'in', path })))
  const ids = results.map(({ fileId }) => fileId ?? '')
  const states = await fleet.settled(ids)
  expect(ids.map((id) => states.get(id)?.state)).toEqual(ids.map(() => 'STORED'))
  expect(fleet.logs.filter((line) => line.includes('HSM_BUSY'))).toEqual([])
})

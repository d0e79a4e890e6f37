import { listWorkers } from '@sealfleet/records/upkeep'
import { openRecords } from '@sealfleet/records'
import { freshDatabase, startTcpGate } from '@sealfleet/testkit'
import { expect, test } from 'vitest'

import { freePort } from '../../../tools/lib/ports.mjs'
import { startHeartbeat } from '@sealfleet/runtime'
import { startStatusServer } from '@sealfleet/runtime'

test('a worker’s beats: what they say, and that an outage is told once', async () => {
  await using database = await freshDatabase()
  await using gate = await startTcpGate(database.url, await freePort())
  await using records = await openRecords(gate.url, { connectTimeoutMs: 500 })
  const told: unknown[] = []
  const heart = startHeartbeat({
    records,
    id: 'one',
    concurrency: 3,
    detail: () => ({ active: 1 }),
    onFailure: (error) => told.push((error as { code?: unknown }).code),
  })
  const seen = async () => (await listWorkers(records)).map(({ state, alive, detail }) => ({ state, alive, detail }))
  await heart.setState('STARTING')
  expect(await seen()).toEqual([{ state: 'STARTING', alive: true, detail: { active: 1 } }])
  for (let outage = 1; outage <= 2; outage += 1) {
    await gate.shut()
    await heart.setState('READY')
    await heart.setState('DRAINING')
    await expect(heart.beat()).rejects.toMatchObject({ code: 'DB_UNAVAILABLE' })
    expect(told).toEqual(Array.from({ length: outage }, () => 'DB_UNAVAILABLE'))
    await gate.open()
    await expect
      .poll(() =>
        heart.beat().then(
          () => 'through',
          () => 'not yet',
        ),
      )
      .toBe('through')
    await heart.setState('READY')
  }
  expect(await seen()).toMatchObject([{ state: 'READY', alive: true }])
  await heart.stop()
  expect(await seen()).toMatchObject([{ state: 'STOPPED', alive: false }])
})

test('liveness and readiness: what they answer, and why not', async () => {
  const status = { ready: true, alive: true }
  const server = await startStatusServer('127.0.0.1', 0, {
    ready: () => status.ready,
    reason: () => 'not ready: s3: S3_UNAVAILABLE for 3 s.',
    alive: () => status.alive,
    metrics: () => Promise.resolve(''),
  })
  const ask = async (path: string): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`)
    return `${answer.status} ${await answer.text()}`
  }
  expect(await Promise.all(['/healthz', '/readyz'].map(ask))).toEqual(['200 ok\n', '200 ready\n'])
  Object.assign(status, { ready: false, alive: false })
  const refusals = ['503 nothing moves\n', '503 not ready: s3: S3_UNAVAILABLE for 3 s.\n']
  expect(await Promise.all(['/healthz', '/readyz'].map(ask))).toEqual(refusals)
  await server.close()
})

import { randomUUID } from 'node:crypto'

import { currentScrub, listScrubs, nextToScrub, recordScrubbed, scrubBacklog } from '@sealfleet/records/upkeep'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { scrub, type ScrubPorts } from '../src/scrub.js'
import { openHouse, type House } from './support.js'

let house: House
beforeEach(async () => {
  house = await openHouse('s3rver')
})
afterEach(() => house?.[Symbol.asyncDispose]())

const stored = async () => {
  const begun = await house.begin()
  await house.commit(begun, await house.upload(begun))
  return begun
}

/** The objects here are random bytes: each fails the strict parse, before any HSM is asked. */
function ports(faultOf: ScrubPorts['faultOf']): ScrubPorts {
  const never = () => Promise.reject(new Error('the HSM was asked'))
  const hsm = { hmac: never, wrap: never, unwrap: never, expectCheckValue: never, expectKekRecord: never }
  return { records: house.records, store: house.store, hsm, faultOf }
}
const code = (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : undefined)

test('a pass that was cut off goes on where it was, and the next is due only after its days', async () => {
  for (let i = 0; i < 4; i++) await stored()
  const stop = new AbortController()
  const onObject = ({ objects }: { readonly objects: number }) => {
    if (objects === 2) stop.abort(new Error('stopped by a test'))
  }
  await expect(scrub(ports(code), { everyDays: 30, signal: stop.signal, onObject })).rejects.toThrow(
    'stopped by a test',
  )
  expect(await listScrubs(house.records)).toMatchObject([{ objects: 2, failed: 2, finishedAt: null }])

  const seen: number[] = []
  const pass = await scrub(ports(code), { everyDays: 30, onObject: ({ objects }) => void seen.push(objects) })
  expect(seen).toEqual([1, 2])
  expect(pass).toMatchObject({ objects: 4, failed: 4 })
  expect(pass?.findings).toHaveLength(4)
  expect(new Set(pass?.findings.map((finding) => finding.code))).toEqual(new Set(['E_FORMAT']))
  expect(await scrub(ports(code), { everyDays: 30 })).toBeNull()
  expect(await listScrubs(house.records)).toHaveLength(1)
})

test('what was found wrong is counted once, also beyond the findings that are listed and by a run that goes on', async () => {
  for (let i = 0; i < 5; i++) await stored()
  const stop = new AbortController()
  const onObject = ({ objects }: { readonly objects: number }) => {
    if (objects === 3) stop.abort(new Error('stopped by a test'))
  }
  const few = { everyDays: 30, mostFindings: 1 }
  await expect(scrub(ports(code), { ...few, signal: stop.signal, onObject })).rejects.toThrow('stopped by a test')
  const [open] = await listScrubs(house.records)
  expect(open).toMatchObject({ objects: 3, failed: 3, findings: [{ code: 'E_FORMAT' }] })
  expect(await scrubBacklog(house.records, open?.startedAt ?? new Date(), open?.id)).toMatchObject({ objects: 2 })

  const seen: number[] = []
  const pass = await scrub(ports(code), { ...few, onObject: ({ objects }) => void seen.push(objects) })
  expect(seen).toEqual([1, 2])
  expect(pass).toMatchObject({ objects: 5, failed: 5 })
  expect(pass?.findings).toHaveLength(1)
  // The next pass looks at all of them again.
  expect(await scrub(ports(code), { everyDays: 0, mostFindings: 1 })).toMatchObject({ objects: 5, failed: 5 })
  const { rows } = await house.sql.query<{ of: number }>(
    'SELECT count(DISTINCT scrub_id)::int AS of FROM scrub_failures',
  )
  expect(rows).toEqual([{ of: 1 }])
})

test('two runs at once count an object once', async () => {
  const [whole, damaged] = [await stored(), await stored()]
  const pass = await currentScrub(house.records, 30)
  const scrubId = pass?.id ?? ''
  const finding = { fileId: damaged.fileId, attemptId: damaged.attemptId, code: 'E_FORMAT' }
  for (let run = 0; run < 2; run++) {
    await recordScrubbed(house.records, { scrubId, attemptId: whole.attemptId, bytes: 10 })
    await recordScrubbed(house.records, { scrubId, attemptId: damaged.attemptId, bytes: 10, finding })
  }
  expect(await listScrubs(house.records)).toMatchObject([{ objects: 2, bytes: 20, failed: 1, findings: [finding] }])
})

test('an outage is no finding: it ends the run, and the pass waits', async () => {
  await stored()
  await expect(
    scrub(
      ports(() => undefined),
      { everyDays: 30 },
    ),
  ).rejects.toMatchObject({ code: 'E_FORMAT' })
  expect(await listScrubs(house.records)).toMatchObject([{ objects: 0, failed: 0, finishedAt: null }])
})

test('what was verified longest ago, or never, comes first', async () => {
  const [a, b, c] = [await stored(), await stored(), await stored()]
  await house.sql.query(`UPDATE attempts SET verified_at = now() - interval '1 day' WHERE id = $1`, [a.attemptId])
  await house.sql.query(`UPDATE attempts SET verified_at = now() - interval '9 days' WHERE id = $1`, [b.attemptId])
  const startedAt = new Date(Date.now() + 60_000)
  const order = await nextToScrub(house.records, { scrubId: randomUUID(), startedAt, except: [], limit: 10 })
  expect(order.map(({ attemptId }) => attemptId)).toEqual([c.attemptId, b.attemptId, a.attemptId])
})

test('the rate is kept: N bytes take their time', async () => {
  for (let i = 0; i < 4; i++) await stored()
  const timed = async (bytesPerSecond: number) => {
    const begun = performance.now()
    await scrub(ports(code), { everyDays: 0, bytesPerSecond })
    return performance.now() - begun
  }
  // 4 objects of 451 bytes at 1,804 bytes a second: a second at least, however fast the machine.
  expect(await timed(1_804)).toBeGreaterThan(950)
})

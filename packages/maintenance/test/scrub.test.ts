import { listScrubs, nextToScrub } from '@sealfleet/records'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { scrub, type ScrubPorts } from '../src/index.js'
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
  const order = await nextToScrub(house.records, { startedAt, except: [], limit: 10 })
  expect(order.map(({ attemptId }) => attemptId)).toEqual([c.attemptId, b.attemptId, a.attemptId])
})

test('the rate is kept: so many bytes take so long', async () => {
  for (let i = 0; i < 4; i++) await stored()
  const timed = async (bytesPerSecond: number) => {
    const begun = performance.now()
    await scrub(ports(code), { everyDays: 0, bytesPerSecond })
    return performance.now() - begun
  }
  // 4 objects of 451 bytes at 1,804 bytes a second: a second at least, however fast the machine.
  expect(await timed(1_804)).toBeGreaterThan(950)
})

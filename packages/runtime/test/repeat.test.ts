import { CodedError } from '@sealfleet/failures'
import { expect, test } from 'vitest'

import { repeat } from '../src/repeat.js'

const stopped = new Error('the test is over')

/** Runs these rounds, one after the other, and stops in the last; what was reported, in order. */
async function run(rounds: readonly (() => Promise<boolean | void>)[], everyMs = 1): Promise<string[]> {
  const stop = new AbortController()
  const told: string[] = []
  let done = 0
  await repeat(
    async () => {
      const round = rounds[done++]
      if (done >= rounds.length) stop.abort(stopped)
      return round?.()
    },
    {
      everyMs,
      signal: stop.signal,
      onOutage: ({ code }) => told.push(`out ${code}`),
      onRecovered: (code) => told.push(`again ${code}`),
    },
  )
  expect(done).toBe(rounds.length)
  return told
}

const well = () => Promise.resolve()
const fails = (code: 'DB_UNAVAILABLE' | 'REDIS_UNAVAILABLE') => () => Promise.reject(new CodedError(code, 'away'))

test('an outage is reported once, and so is its end', async () => {
  const away = fails('DB_UNAVAILABLE')
  expect(await run([well, away, away, away, well, well, away, well])).toEqual([
    'out DB_UNAVAILABLE',
    'again DB_UNAVAILABLE',
    'out DB_UNAVAILABLE',
    'again DB_UNAVAILABLE',
  ])
})

test('an outage that becomes another is reported again', async () => {
  expect(await run([fails('DB_UNAVAILABLE'), fails('REDIS_UNAVAILABLE'), well])).toEqual([
    'out DB_UNAVAILABLE',
    'out REDIS_UNAVAILABLE',
    'again REDIS_UNAVAILABLE',
  ])
})

test('a round with more to do is followed at once', async () => {
  const more = () => Promise.resolve(true)
  // Longer than any test: a pause would be its end.
  expect(await run([more, more, well], 2 ** 30)).toEqual([])
})

test('a stop ends a pause, and a round that it fails is not reported', async () => {
  expect(await run([well, () => Promise.reject(stopped)])).toEqual([])
  const stop = new AbortController()
  const running = repeat(well, { everyMs: 2 ** 30, signal: stop.signal, onOutage: () => undefined })
  setImmediate(() => stop.abort(stopped))
  await running
  await repeat(() => Promise.reject(new Error('not called')), {
    everyMs: 1,
    signal: stop.signal,
    onOutage: () => expect.unreachable(),
  })
})

test('an outage lengthens the pause', async () => {
  const stop = new AbortController()
  const away = fails('DB_UNAVAILABLE')
  let rounds = 0
  const running = repeat(
    async () => {
      rounds += 1
      await away()
    },
    { everyMs: 1, outMs: 2 ** 30, signal: stop.signal, onOutage: () => setImmediate(() => stop.abort(stopped)) },
  )
  await running
  expect(rounds).toBe(1)
})

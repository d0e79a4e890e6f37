import type { FailureCode } from '@sealfleet/failures'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { Breaker, GUARDED, QUIET_MS, type Guarded } from '../src/health/breaker.js'
import { Breakers } from '../src/health/breakers.js'
import type { Probe } from '@sealfleet/runtime'

/** The pauses before that number of probes, all of which fail, milliseconds. */
function pauses(code: FailureCode, probes: number, random: number): number[] {
  const breaker = new Breaker({ random: () => random })
  let now = 1_000
  breaker.failed(code, now)
  return Array.from({ length: probes }, () => {
    const pause = (breaker.probeAt ?? NaN) - now
    now += pause
    breaker.probeFailed(code, now)
    return pause
  })
}

describe('the breaker of one dependency', () => {
  test.each<[FailureCode, number[], number[]]>([
    ['S3_UNAVAILABLE', [1_000, 2_000, 4_000, 8_000, 15_000, 15_000], [2_000, 4_000, 8_000, 16_000, 30_000, 30_000]],
    ['S3_ACCESS_DENIED', [5_000, 10_000, 20_000, 30_000, 30_000], [10_000, 20_000, 40_000, 60_000, 60_000]],
  ])('%s: pauses grow to a ceiling, with jitter', (code, least, most) => {
    expect(pauses(code, least.length, 0)).toEqual(least)
    expect(pauses(code, most.length, 1)).toEqual(most)
  })

  test('opens by a failure, stays open for further ones, closes by a probe that succeeds', () => {
    const breaker = new Breaker({ random: () => 0 })
    expect(breaker.open).toBeUndefined()
    expect(breaker.probeAt).toBeUndefined()
    expect(breaker.failed('DB_UNAVAILABLE', 100)).toBe(true)
    expect(breaker.failed('DB_UNAVAILABLE', 200)).toBe(false)
    expect(breaker.open).toEqual({ code: 'DB_UNAVAILABLE', since: 100 })
    expect(breaker.probeSucceeded(1_500)).toBe(1_400)
    expect(breaker.open).toBeUndefined()
    expect(breaker.probeSucceeded(1_600)).toBeUndefined()
    expect(breaker.probeFailed('DB_UNAVAILABLE', 1_700)).toBe(false)
  })

  test.each([
    ['within a minute', QUIET_MS - 1, [1_000, 2_000, 4_000]],
    ['after a quiet minute', QUIET_MS, [1_000, 1_000, 1_000]],
  ])('failing again %s after each success', (_when, quiet, expected) => {
    const breaker = new Breaker({ random: () => 0 })
    let now = 0
    const seen = expected.map(() => {
      breaker.failed('S3_UNAVAILABLE', now)
      const pause = (breaker.probeAt ?? NaN) - now
      now += pause
      breaker.probeSucceeded(now)
      now += quiet
      return pause
    })
    expect(seen).toEqual(expected)
  })

  test('an outage that turns out to need a person is told once more, and asked about less often', () => {
    const breaker = new Breaker({ random: () => 0 })
    breaker.failed('S3_UNAVAILABLE', 0)
    expect(breaker.failed('S3_ACCESS_DENIED', 10)).toBe(true)
    expect(breaker.open).toEqual({ code: 'S3_ACCESS_DENIED', since: 0 })
    expect(breaker.probeAt).toBe(5_010)
    expect(breaker.probeFailed('S3_NO_BUCKET', 5_010)).toBe(false)
    expect(breaker.failed('S3_UNAVAILABLE', 5_020)).toBe(false)
    expect(breaker.open?.code).toBe('S3_ACCESS_DENIED')
  })
})

describe('the breakers of a process', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  function world() {
    const events: string[] = []
    const down = new Set<Guarded>()
    const probe =
      (dependency: Guarded): Probe =>
      () => {
        events.push(`probe ${dependency}`)
        return down.has(dependency) ? Promise.reject(new Error(`${dependency} is down`)) : Promise.resolve()
      }
    const breakers = new Breakers({
      probes: Object.fromEntries(GUARDED.map((dependency) => [dependency, probe(dependency)])) as Record<
        Guarded,
        Probe
      >,
      onOpen: (dependency, code) => events.push(`open ${dependency} ${code}`),
      onClose: (dependency, _code, openMs) => events.push(`close ${dependency} after ${openMs}`),
      onAccepting: (open) => events.push(open ? 'intake' : 'no intake'),
      random: () => 0,
    })
    return { breakers, events, down }
  }

  test('the intake stops with the first that opens, and goes on with the last that closes', async () => {
    const { breakers, events, down } = world()
    down.add('s3')
    breakers.failed('s3', 'S3_UNAVAILABLE')
    breakers.failed('s3', 'S3_UNAVAILABLE')
    breakers.failed('database', 'DB_UNAVAILABLE')
    await vi.advanceTimersByTimeAsync(1_000)
    expect(breakers.open()).toMatchObject([{ dependency: 's3', code: 'S3_UNAVAILABLE', openMs: 1_000 }])
    down.delete('s3')
    await vi.advanceTimersByTimeAsync(2_000)
    expect(breakers.open()).toEqual([])
    expect(events).toEqual([
      ...['no intake', 'open s3 S3_UNAVAILABLE', 'open database DB_UNAVAILABLE'],
      ...['probe s3', 'probe database', 'close database after 1000'],
      ...['probe s3', 'close s3 after 3000', 'intake'],
    ])
  })

  test('a probe that never ends has failed after its time', async () => {
    const events: string[] = []
    const forever: Probe = () => new Promise(() => undefined)
    const breakers = new Breakers({
      probes: { hsm: forever, s3: forever, database: forever, redis: forever, roots: forever },
      onOpen: () => undefined,
      onClose: () => events.push('close'),
      onAccepting: (open) => events.push(open ? 'intake' : 'no intake'),
      probeTimeoutMs: 1,
      random: () => 0,
    })
    breakers.failed('hsm', 'HSM_UNAVAILABLE')
    await vi.advanceTimersByTimeAsync(1_000)
    vi.useRealTimers()
    await expect.poll(() => breakers.open().length).toBe(1)
    expect(events).toEqual(['no intake'])
    breakers[Symbol.dispose]()
  })

  test('are probed at once when asked, one probe at a time, and say when they are probed next', async () => {
    const { breakers, events, down } = world()
    down.add('s3')
    breakers.failed('s3', 'S3_ACCESS_DENIED')
    expect(breakers.open()).toMatchObject([{ dependency: 's3', probeInMs: 5_000 }])
    breakers.probeNow()
    breakers.probeNow()
    await vi.advanceTimersByTimeAsync(0)
    expect(events.filter((event) => event === 'probe s3')).toHaveLength(1)
    expect(breakers.open()).toMatchObject([{ dependency: 's3', probeInMs: 10_000 }])
    down.delete('s3')
    await vi.advanceTimersByTimeAsync(1_000)
    breakers.probeNow()
    await vi.advanceTimersByTimeAsync(0)
    expect(breakers.open()).toEqual([])
    expect(events.at(-1)).toBe('intake')
    // Nothing is left of the timer that stood at ten seconds.
    await vi.advanceTimersByTimeAsync(60_000)
    expect(events.filter((event) => event === 'probe s3')).toHaveLength(2)
  })

  test('after disposing nothing opens and nothing is asked', async () => {
    const { breakers, events } = world()
    breakers.failed('roots', 'ROOT_UNAVAILABLE')
    breakers[Symbol.dispose]()
    breakers.failed('s3', 'S3_UNAVAILABLE')
    await vi.advanceTimersByTimeAsync(120_000)
    // A missing folder holds back its own jobs alone.
    expect(events).toEqual(['open roots ROOT_UNAVAILABLE'])
  })
})

import { describe, expect, test } from 'vitest'

import { Activity } from '../src/health/activity.js'
import { StallDetector, type QueueState, type Stall } from '../src/health/stall-detector.js'

const EVERY = 1_000
const LIMIT = 4_000

interface Round {
  readonly look: QueueState
  readonly active?: number
  /** Milliseconds since the last look; EVERY when not given. */
  readonly after?: number
  readonly moved?: boolean
}

/** Feeds the rounds and says at which of them the verdict fell. */
function verdictAt(rounds: readonly Round[]): { round: number; wedge: Stall } | undefined {
  const stillness = new StallDetector({ limitMs: LIMIT, everyMs: EVERY, now: 0 })
  let now = 0
  let movedAt = 0
  for (const [round, { look, active = 0, after = EVERY, moved = false }] of rounds.entries()) {
    now += after
    if (moved) movedAt = now
    const wedge = stillness.see({ now, movedAt, active, look })
    if (wedge !== undefined) return { round, wedge }
  }
  return undefined
}

const times = (n: number, round: Round): Round[] => Array.from({ length: n }, () => round)
const WAITING: Round = { look: { waiting: 3 } }
const IDLE: Round = { look: { waiting: 0 } }

describe('a worker stands still', () => {
  test('when jobs wait and nothing moves for the whole limit', () => {
    expect(verdictAt(times(9, WAITING))).toEqual({ round: 3, wedge: { stillMs: 4_000, active: 0, waiting: 3 } })
  })

  test('when its own jobs do not move, though no one waits', () => {
    const verdict = verdictAt(times(9, { look: { waiting: 0 }, active: 2 }))
    expect(verdict).toEqual({ round: 3, wedge: { stillMs: 4_000, active: 2, waiting: 0 } })
  })

  test.each<[string, Round[]]>([
    ['is idle', times(99, IDLE)],
    ['moves a byte now and then', times(30, WAITING).flatMap((round) => [round, round, { ...round, moved: true }])],
    ['is held', times(99, { look: 'held', active: 2 })],
    ['cannot ask Redis', times(99, { look: 'unknown', active: 2 })],
    ['was itself stopped for an hour', [IDLE, WAITING, { ...WAITING, after: 3_600_000 }, ...times(3, WAITING)]],
    ['gets its first jobs after an idle hour', [...times(3_600, IDLE), ...times(3, WAITING)]],
  ])('but not when it %s', (_what, rounds) => {
    expect(verdictAt(rounds)).toBeUndefined()
  })

  test.each<[string, Round]>([
    ['idle', IDLE],
    ['held', { look: 'held' }],
    ['without Redis', { look: 'unknown' }],
  ])('counted again after it was %s', (_what, excuse) => {
    expect(verdictAt([...times(3, WAITING), excuse, ...times(9, WAITING)])?.round).toBe(7)
  })
})

test('a job that begins, ends or moves bytes is activity', () => {
  let now = 10
  const activity = new Activity(() => now)
  now = 20
  const job = activity.began('f-1')
  expect([activity.movedAt, activity.jobs]).toEqual([20, [{ jobId: 'f-1', since: 20 }]])
  now = 30
  activity.moved()
  expect(activity.movedAt).toBe(30)
  now = 40
  job[Symbol.dispose]()
  expect([activity.movedAt, activity.jobs]).toEqual([40, []])
})

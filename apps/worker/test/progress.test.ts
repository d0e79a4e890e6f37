import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { throttledProgress } from '../src/consume/progress.js'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** Reports at milliseconds of an upload of 100 bytes; what of it goes to Redis. */
async function written(...reports: readonly (readonly [atMs: number, bytes: number])[]): Promise<unknown[]> {
  const seen: unknown[] = []
  const report = throttledProgress({ updateProgress: (progress) => Promise.resolve(void seen.push(progress)) })
  let now = 0
  for (const [atMs, bytes] of reports) {
    await vi.advanceTimersByTimeAsync(atMs - now)
    now = atMs
    report(bytes, 100)
  }
  return seen.map((progress) => (progress as { bytes: number }).bytes)
}

test('a quick upload writes no progress', async () => {
  expect(await written([10, 100])).toEqual([])
  expect(await written([10, 40], [200, 100])).toEqual([])
})

test('a slow one writes it every quarter of a second, and once at its end', async () => {
  expect(await written([10, 10], [260, 20], [300, 30], [520, 60], [530, 100])).toEqual([20, 60, 100])
  expect(await written([300, 100])).toEqual([100])
})

test('a report that Redis does not take is followed by the next', async () => {
  let calls = 0
  const report = throttledProgress({
    updateProgress: () => {
      calls += 1
      return Promise.reject(new Error('gone'))
    },
  })
  for (let at = 1; at <= 3; at++) {
    await vi.advanceTimersByTimeAsync(300)
    report(at, 100)
  }
  expect(calls).toBe(3)
})

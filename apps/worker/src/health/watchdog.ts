import type { Activity } from './activity.js'
import { StallDetector, type QueueState, type Stall } from './stall-detector.js'

/** Exit status of a worker that its watchdog ended. */
export const EXIT_WEDGED = 7

export interface WatchdogOptions {
  /** Milliseconds without progress; 0: no watchdog. */
  readonly limitMs: number
  readonly activity: Activity
  /** Whether this process has a reason of its own not to take jobs (a breaker, a drain). */
  readonly held: () => boolean
  /** The state of the queue; not read while `held`. */
  readonly look: () => Promise<QueueState>
}

export interface Watchdog extends Disposable {
  /** Resolves when the worker has stalled. Never rejects, and without a watchdog never resolves. */
  readonly wedged: Promise<Stall>
  /** Liveness: false from then on. */
  readonly alive: () => boolean
}

/**
 * Watches whether this process makes progress. A stalled worker looks healthy: its event loop runs, it renews its locks
 * and leases, and `isRunning()` is true. But nothing moves. The caller then ends the process; its leases run out, and
 * other workers take its files.
 */
export function startWatchdog({ limitMs, activity, held, look }: WatchdogOptions): Watchdog {
  if (limitMs === 0) {
    return { wedged: new Promise(() => undefined), alive: () => true, [Symbol.dispose]: () => undefined }
  }
  const everyMs = Math.min(limitMs / 4, 15_000)
  const stillness = new StallDetector({ limitMs, everyMs, now: performance.now() })
  let verdict: Stall | undefined
  let looking = false
  let tell: (wedge: Stall) => void
  const wedged = new Promise<Stall>((resolve) => (tell = resolve))
  const round = async (): Promise<void> => {
    const seen = held() ? 'held' : await look()
    const { movedAt, jobs } = activity
    verdict ??= stillness.see({ now: performance.now(), movedAt, active: jobs.length, look: held() ? 'held' : seen })
    if (verdict !== undefined) tell(verdict)
  }
  const timer = setInterval(() => {
    if (looking) return
    looking = true
    void round().finally(() => (looking = false))
  }, everyMs)
  return {
    wedged,
    alive: () => verdict === undefined,
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

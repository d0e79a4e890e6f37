import type { HsmEvent } from '../events.js'
import type { PoolOptions, TokenOptions } from '../options.js'
import { startAgent } from './agent-process.js'
import { TokenPool } from './token-pool.js'
import type { TokenPoolOptions } from './token-pool-options.js'
import { memoryPinLockout } from './pin-lockout.js'
import { Prober } from './probe.js'
import { FailoverPool } from './failover-pool.js'

const BEAT_MS = 500

type Timings = Omit<
  TokenPoolOptions,
  'token' | 'emit' | 'clock' | 'lockout' | 'maxWaiters' | 'start' | 'serving' | 'onBound'
> & {
  readonly probeIntervalMs: number
}

/** `primary`, then `secondary-1` and so on: the names in metrics and logs, independent of the tokens' labels. */
export function tokenName(index: number): string {
  return index === 0 ? 'primary' : `secondary-${index}`
}

/** The parts of each configured token, with agents that are real processes; nothing is started yet. */
export function openTokens(options: PoolOptions, timings: Timings, emit: (event: HsmEvent) => void): FailoverPool {
  const clock = { now: () => performance.now() }
  // One for all tokens: they may share a PIN's name, but never a serial number.
  const lockout = options.lockout ?? memoryPinLockout()
  const { sessions, hardTimeoutMs, probeIntervalMs, deadlineMs } = timings
  const open = (index: number, onBound: (label: string, kcv: string) => void) => {
    const token = options.tokens[index] as TokenOptions
    const name = tokenName(index)
    const named = (event: HsmEvent) => {
      // Each event is a new object; copying it would cost more per operation than all other handling of it.
      emit(Object.assign(event, { token: name }))
    }
    const core = new TokenPool({
      ...timings,
      token,
      emit: named,
      clock,
      lockout,
      onKeyBound: onBound,
      serving: index === 0,
      maxWaiters: options.maxWaiters ?? 4 * sessions,
      start: (events, size) =>
        startAgent(token, { mode: 'pool', sessions: size, hardTimeoutMs, beatMs: BEAT_MS }, events),
    })
    const prober = new Prober(core, { intervalMs: probeIntervalMs, now: clock.now, emit: named })
    return { name, core, prober }
  }
  return new FailoverPool(options.tokens.length, open, { clock, deadlineMs, emit })
}

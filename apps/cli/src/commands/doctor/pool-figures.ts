import { ckrName, type HsmEvent, type HsmPool, type PoolHealth, type PoolStats } from '@sealfleet/hsm'
import { setTimeout as delay } from 'node:timers/promises'
import { pairs } from '../../output/table.js'
import { count } from '../../output/units.js'
import { ok, warning, type CheckResult } from './check.js'

/** How long to wait for agents of secondaries, milliseconds. */
const START_MS = 10_000

/** Milliseconds of all calls together, and of the longest call. */
interface Times {
  totalMs: number
  longestMs: number
}

/** Calls of one operation under keys of one role. */
interface Calls {
  readonly operation: string
  readonly role: string
  calls: number
  readonly run: Times
  /** Waiting for a session. */
  readonly queue: Times
}

interface Errors {
  readonly code: string
  readonly class: string
  count: number
}

type CheckCounts = Readonly<Record<string, Readonly<Record<string, number>>>>

/** The figures of a worker's pool metrics, for this run of the doctor. */
export interface PoolFigures {
  readonly operations: readonly Readonly<Calls>[]
  /** Number of agents by state. */
  readonly sessions: Readonly<Record<string, number>>
  readonly waiters: number
  readonly errors: readonly Readonly<Errors>[]
  readonly hung: number
  readonly slow: number
  readonly restarts: Readonly<Record<string, number>>
  readonly logins: { readonly accepted: number; readonly refused: number }
  readonly breaker: string
  readonly probeAgeMs: number
  /** Registered keys by outcome of the comparison, for each token. */
  readonly checkValues: CheckCounts
}

/** Adds up what the pool reports while the doctor uses it. */
export class FigureCounter {
  readonly #calls = new Map<string, Calls>()
  readonly #errors = new Map<string, Errors>()

  readonly onEvent = (event: HsmEvent): void => {
    if (event.type === 'operation') this.#operation(event)
    if (event.type !== 'error') return
    const code = ckrName(event.ckr)
    const errors = this.#errors.get(`${code} ${event.class}`) ?? { code, class: event.class, count: 0 }
    errors.count += 1
    this.#errors.set(`${code} ${event.class}`, errors)
  }

  /** Compares all expected keys on all tokens, and returns the figures of everything since the pool was opened. */
  async of(pool: HsmPool): Promise<PoolFigures> {
    await settled(pool)
    const health = await pool.probe()
    const stats = pool.stats()
    return {
      operations: [...this.#calls.values()],
      sessions: sessionsOf(health),
      waiters: health.waiting,
      errors: [...this.#errors.values()],
      hung: stats.hung,
      slow: stats.slow,
      restarts: stats.restarts,
      logins: loginsOf(stats),
      breaker: health.breaker,
      probeAgeMs: health.probeAgeMs,
      checkValues: Object.fromEntries(health.tokens.map(({ name, keys }) => [name, tally(keys)])),
    }
  }

  #operation({ operation, role, runMs, queueMs }: Extract<HsmEvent, { type: 'operation' }>): void {
    // Probes belong to no attempt, and a ping to no key.
    if (operation === 'ping') return
    const name = `${operation} ${role}`
    const calls = this.#calls.get(name) ?? { operation, role, calls: 0, run: none(), queue: none() }
    calls.calls += 1
    add(calls.run, runMs)
    add(calls.queue, queueMs)
    this.#calls.set(name, calls)
  }
}

/** Waits for a while for the agents of secondaries, which start on their own. */
async function settled(pool: HsmPool): Promise<void> {
  const until = performance.now() + START_MS
  while (performance.now() < until && pool.health().agents.some(({ state }) => state === 'starting')) await delay(50)
}

/** Whether each secondary can serve every key. One that cannot is no outage, but a warning. */
export function standbyFindings({ checkValues }: PoolFigures): CheckResult[] {
  const [, ...secondaries] = Object.entries(checkValues)
  return secondaries.map(([token, states]) => {
    const sound = Object.keys(states).every((state) => state === 'ok')
    if (sound) return ok(`token ${token}`, `check values: ${numbers(states)}`)
    const fix = "bring it back, or copy the missing keys to it with the vendor's tools"
    return warning(`token ${token}`, `cannot serve every key; check values: ${numbers(states)}`, fix)
  })
}

function none(): Times {
  return { totalMs: 0, longestMs: 0 }
}

function add(times: Times, ms: number): void {
  times.totalMs += ms
  times.longestMs = Math.max(times.longestMs, ms)
}

/** As the pool sees them; it notices broken sessions with the next heartbeat only. */
function sessionsOf({ agents }: PoolHealth): Record<string, number> {
  const counts = { idle: 0, leased: 0, hung: 0, broken: 0 }
  for (const { busy, hung, sessions, sessionStates } of agents) {
    counts.leased += busy
    counts.hung += hung
    counts.broken += sessionStates?.broken ?? 0
    counts.idle += Math.max(0, sessions - busy - hung - (sessionStates?.broken ?? 0))
  }
  return counts
}

function loginsOf({ logins, rejectedLogins }: PoolStats): PoolFigures['logins'] {
  return { accepted: logins - rejectedLogins, refused: rejectedLogins }
}

function tally(keys: readonly { readonly state: string }[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { state } of keys) counts[state] = (counts[state] ?? 0) + 1
  return counts
}

/** The figures as lines for a person, under a heading. */
export function formatFigures(figures: PoolFigures): string {
  const { operations, sessions, waiters, errors, hung, slow, restarts, logins, breaker, probeAgeMs } = figures
  const lines: [string, string][] = operations.map(({ operation, role, calls, run, queue }) => [
    `${operation} ${role}`,
    `${count(calls, 'call')}: ${timesOf(run, calls)}; waited ${timesOf(queue, calls)}`,
  ])
  const codes = errors.map((error) => `${error.code} ${error.class} ${error.count}`)
  lines.push(
    ['sessions', numbers(sessions)],
    ['waiters', String(waiters)],
    ['errors', codes.length === 0 ? 'none' : codes.join(', ')],
    ['hung', `${hung}, slow ${slow}`],
    ['restarts', numbers(restarts)],
    ['logins', numbers(logins)],
    ['breaker', breaker],
    ['probe age', `${Math.round(probeAgeMs)} ms`],
    ...Object.entries(figures.checkValues).map(([token, states]): [string, string] => [
      `check values ${token}`,
      numbers(states),
    ]),
  )
  return `the pool in this run (a worker's own figures are its metrics):\n${pairs(lines)}`
}

function timesOf({ totalMs, longestMs }: Times, calls: number): string {
  return `${(totalMs / calls).toFixed(1)} ms, longest ${longestMs.toFixed(1)}`
}

function numbers(counts: Readonly<Record<string, number>>): string {
  const entries = Object.entries(counts)
  return entries.length === 0 ? 'none' : entries.map(([name, n]) => `${name} ${n}`).join(', ')
}

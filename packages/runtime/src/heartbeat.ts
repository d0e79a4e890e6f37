import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'

import { heartbeat } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'

type State = Parameters<typeof heartbeat>[1]['state']

/** Interval of a worker's heartbeats, milliseconds. */
const BEAT_MS = 15_000
/** After three missed beats a worker counts as dead. */
const TTL_S = (3 * BEAT_MS) / 1000

export interface HeartbeatOptions {
  readonly records: Records
  /** Names the process. */
  readonly id: string
  readonly concurrency: number
  /** For people who read the list of workers: small, nothing secret. */
  readonly detail: () => unknown
  /** Called on the first failed heartbeat; not again until one succeeds. */
  readonly onFailure: (error: unknown) => void
}

/** The worker's row in the records of workers, kept fresh. A beat that fails is never fatal. */
export interface Heartbeat {
  /** Reports a new state, now and with every later beat. Never rejects. */
  setState(state: State): Promise<void>
  /** Beats at once, because the detail has changed. Never rejects. */
  beatNow(): Promise<void>
  /** One beat whose failure matters: it shows whether the database takes a write. @throws RecordsError */
  beat(): Promise<void>
  /** The last beat: STOPPED. Never rejects. */
  stop(): Promise<void>
}

export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { records, id, concurrency, detail } = options
  const identity = { id, host: hostname(), pid: process.pid, version: packageVersion(), concurrency }
  let state: State = 'STARTING'
  let failing = false
  let underWay = 0
  let last: Promise<void> = Promise.resolve()
  const beat = (): Promise<void> => heartbeat(records, { ...identity, state, detail: detail(), ttlSeconds: TTL_S })
  const tryToBeat = async (): Promise<void> => {
    try {
      await beat()
      failing = false
    } catch (error) {
      if (!failing) options.onFailure(error)
      failing = true
    } finally {
      underWay -= 1
    }
  }
  /** One after the other: an earlier state must not arrive last. */
  const quietly = (): Promise<void> => {
    underWay += 1
    last = last.then(tryToBeat)
    return last
  }
  const timer = setInterval(() => {
    if (underWay === 0) void quietly()
  }, BEAT_MS).unref()
  /** A waiting beat reports the latest state anyway: in an outage beats must not pile up. */
  const beatNow = (): Promise<void> => (underWay > 1 ? last : quietly())
  const setState = (next: State): Promise<void> => {
    state = next
    return quietly()
  }
  return {
    setState: setState,
    beatNow: beatNow,
    beat,
    stop: () => {
      clearInterval(timer)
      return setState('STOPPED')
    },
  }
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : ''
  return typeof version === 'string' ? version : ''
}

import { setTimeout as delay } from 'node:timers/promises'

import type { HsmPool } from '@sealfleet/hsm'
import { listPendingKeys } from '@sealfleet/records/keys'
import type { KeyReport, LackedKey } from '@sealfleet/records/upkeep'
import type { KeyRow, Records } from '@sealfleet/records'

import { expectKey, type CheckValues } from '@sealfleet/objects'
import { unlessAborted } from '@sealfleet/runtime'

/** Between two looks for key versions that are about to be activated, milliseconds. */
const LOOK_MS = 2_000

export interface KeyWatchOptions {
  readonly records: Records
  readonly pool: CheckValues & Pick<HsmPool, 'keyOnTokens'>
  /** Told when what {@link KeyWatch.report} says has changed. */
  readonly onChange: () => Promise<void>
  /** Told of the first look that fails, and not again before one has worked. */
  readonly onFailure: (error: unknown) => void
  /** Between two looks, milliseconds. */
  readonly lookMs?: number
}

/** This worker's part of a rotation: no one seals with a version before every worker has found it right on every token. */
export interface KeyWatch extends AsyncDisposable {
  /** For the heartbeat: what the last look found. */
  readonly report: () => KeyReport
}

/**
 * Looks every two seconds for registered versions that are not active yet, makes their check values known to the pool and
 * finds out on which of its tokens they are right. Resolves after the first look, which is told by {@link KeyWatch.report}
 * alone: no job is taken before it. A look that fails changes nothing: the report is what was seen last.
 */
export async function startKeyWatch(options: KeyWatchOptions): Promise<KeyWatch> {
  const { records, pool, lookMs = LOOK_MS } = options
  const stop = new AbortController()
  const { signal } = stop
  let report: KeyReport = { confirmed: [], lacking: [] }
  let failing = false
  /** Whether the report has changed. */
  const look = async (): Promise<boolean> => {
    try {
      const before = JSON.stringify(report)
      report = await lookAt(pool, await listPendingKeys(records), signal)
      failing = false
      return JSON.stringify(report) !== before
    } catch (error) {
      if (!signal.aborted && !failing) options.onFailure(error)
      failing = true
      return false
    }
  }
  const goOn = async (): Promise<void> => {
    while (await pause(lookMs, signal)) if (await look()) await options.onChange()
  }
  await look()
  const running = goOn()
  return {
    report: () => report,
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error('the worker is stopping'))
      await running
    },
  }
}

/** One key after the other: jobs have the HSM before a rotation has. */
async function lookAt(pool: KeyWatchOptions['pool'], keys: readonly KeyRow[], signal: AbortSignal): Promise<KeyReport> {
  const confirmed: string[] = []
  const lacking: LackedKey[] = []
  for (const key of keys) {
    signal.throwIfAborted()
    // A module that hangs keeps no one from stopping: the pool ends what is left behind.
    const states = await unlessAborted(statesOf(pool, key), signal)
    const missing = states.filter(({ state }) => state !== 'ok')
    if (missing.length === 0) confirmed.push(key.id)
    lacking.push(...missing.map(({ token, state }) => ({ key: key.id, token, state })))
  }
  return { confirmed, lacking }
}

async function statesOf(pool: KeyWatchOptions['pool'], key: KeyRow): ReturnType<HsmPool['keyOnTokens']> {
  // Nothing to compare with: no one can tell whether a key of that name is the right one.
  if (key.checkValue === null && key.checkRecord === null) return [{ token: 'primary', state: 'pending' }]
  expectKey(pool, key)
  return pool.keyOnTokens(key)
}

/** False: it is over. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(ms, undefined, { signal, ref: false })
    return true
  } catch (error) {
    if (signal.aborted) return false
    throw error
  }
}

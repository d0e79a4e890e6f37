import type { HsmPool } from '@sealfleet/hsm'
import { listPendingKeys } from '@sealfleet/records/keys'
import type { KeyReport, LackedKey } from '@sealfleet/records/upkeep'
import type { KeyRow, Records } from '@sealfleet/records'

import { expectKey, type CheckValues } from '@sealfleet/objects'
import { repeat, unlessAborted } from '@sealfleet/runtime'

/** Milliseconds between two looks for key versions that are about to be activated. */
const LOOK_MS = 2_000

export interface KeyWatchOptions {
  readonly records: Records
  readonly pool: CheckValues & Pick<HsmPool, 'keyOnTokens'>
  /** Called when the result of {@link KeyWatch.report} has changed. */
  readonly onChange: () => Promise<void>
  /** Called on the first failed look; not again until one succeeds, or fails with another code. */
  readonly onFailure: (error: unknown) => void
  /** Milliseconds between two looks. */
  readonly lookMs?: number
}

/** This worker's part of a rotation: a version seals no file before every worker has found it right on every token. */
export interface KeyWatch extends AsyncDisposable {
  /** For the heartbeat: the result of the last look. */
  readonly report: () => KeyReport
}

/**
 * Looks every two seconds for registered versions that are not active yet, passes their check values to the pool and
 * checks on which of its tokens they are right. Resolves after the first look, whose result is only in
 * {@link KeyWatch.report}: the worker takes no job before it. A failed look changes nothing: the report keeps the last
 * result.
 */
export async function startKeyWatch(options: KeyWatchOptions): Promise<KeyWatch> {
  const { records, pool, lookMs = LOOK_MS } = options
  const stop = new AbortController()
  const { signal } = stop
  let report: KeyReport = { confirmed: [], lacking: [] }
  let looked = false
  let afterFirst: () => void = () => undefined
  const first = new Promise<void>((resolve) => (afterFirst = resolve))
  const look = async (): Promise<void> => {
    try {
      const before = JSON.stringify(report)
      report = await lookAt(pool, await listPendingKeys(records), signal)
      if (looked && JSON.stringify(report) !== before) await options.onChange()
    } finally {
      looked = true
      afterFirst()
    }
  }
  const running = repeat(look, { everyMs: lookMs, signal, onOutage: (_, error) => options.onFailure(error) })
  await first
  return {
    report: () => report,
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error('the worker is stopping'))
      await running
    },
  }
}

/** One key after the other: jobs come before a rotation at the HSM. */
async function lookAt(pool: KeyWatchOptions['pool'], keys: readonly KeyRow[], signal: AbortSignal): Promise<KeyReport> {
  const confirmed: string[] = []
  const lacking: LackedKey[] = []
  for (const key of keys) {
    signal.throwIfAborted()
    // A hanging module does not delay a stop: the pool ends the remaining work.
    const states = await unlessAborted(statesOf(pool, key), signal)
    const missing = states.filter(({ state }) => state !== 'ok')
    if (missing.length === 0) confirmed.push(key.id)
    lacking.push(...missing.map(({ token, state }) => ({ key: key.id, token, state })))
  }
  return { confirmed, lacking }
}

async function statesOf(pool: KeyWatchOptions['pool'], key: KeyRow): ReturnType<HsmPool['keyOnTokens']> {
  // No expected value: a key of that name cannot be judged.
  if (key.checkValue === null && key.checkRecord === null) return [{ token: 'primary', state: 'pending' }]
  expectKey(pool, key)
  return pool.keyOnTokens(key)
}

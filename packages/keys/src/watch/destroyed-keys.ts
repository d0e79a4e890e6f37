import type { HsmPool } from '@sealfleet/hsm'
import { classify } from '@sealfleet/failures'
import { findDestroyedKeys } from '@sealfleet/records/keys'
import type { KeyRow, Records } from '@sealfleet/records'
import type { Logger } from '@sealfleet/telemetry'
import { setTimeout as delay } from 'node:timers/promises'

/** Between two looks for keys that were destroyed, milliseconds: sooner than the pool's probes miss one. */
export const DESTROYED_KEYS_MS = 2_000

export interface DestroyedKeysPorts {
  readonly records: Records
  readonly pool: Pick<HsmPool, 'health'>
  readonly log: Logger
  /** Told of each key once. */
  readonly forget: (key: KeyRow) => void
}

/**
 * Looks for keys that the pool still asks the HSM for and that were destroyed meanwhile, until the signal aborts. Without it a process
 * would go on missing them until it is started again, and a secondary that lacks one would look unfit. An outage is logged once
 * and changes nothing. Resolves when nothing runs any more; never rejects.
 */
export async function watchDestroyedKeys(
  { records, pool, log, forget }: DestroyedKeysPorts,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  let out: string | undefined
  while (!signal.aborted) {
    try {
      const expected = pool.health().tokens.flatMap(({ keys }) => keys.map(({ label }) => label))
      for (const key of await findDestroyedKeys(records, [...new Set(expected)])) {
        forget(key)
        const { domain, role, version } = key
        log.info(
          { component: 'hsm', domain, role, version: String(version) },
          'a master key was destroyed: it is not asked for any more',
        )
      }
      out = undefined
    } catch (error) {
      const { code, failure } = classify(error)
      if (code !== out && !signal.aborted) log.warn({ component: 'hsm', code, err: error }, failure.summary)
      out = code
    }
    await delay(everyMs, undefined, { signal, ref: false }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

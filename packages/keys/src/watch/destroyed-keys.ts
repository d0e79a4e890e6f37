import type { HsmPool } from '@sealfleet/hsm'
import { findDestroyedKeys } from '@sealfleet/records/keys'
import type { KeyRow, Records } from '@sealfleet/records'
import { repeat } from '@sealfleet/runtime'
import type { Logger } from '@sealfleet/telemetry'

/** Milliseconds between two looks for destroyed keys: sooner than the pool's probes miss one. */
export const DESTROYED_KEYS_MS = 2_000

export interface DestroyedKeysPorts {
  readonly records: Records
  readonly pool: Pick<HsmPool, 'health'>
  readonly log: Logger
  /** Called once for each key. */
  readonly forget: (key: KeyRow) => void
}

/**
 * Looks for keys that the pool still asks the HSM for although they were destroyed, until the signal aborts. Otherwise
 * a process would report them missing until its restart, and a secondary that lacks one would look unfit. An outage is
 * logged once and changes nothing. Resolves when all work has ended; never rejects.
 */
export async function watchDestroyedKeys(
  { records, pool, log, forget }: DestroyedKeysPorts,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  const round = async (): Promise<void> => {
    const expected = pool.health().tokens.flatMap(({ keys }) => keys.map(({ label }) => label))
    for (const key of await findDestroyedKeys(records, [...new Set(expected)])) {
      forget(key)
      const { domain, role, version } = key
      log.info(
        { component: 'hsm', domain, role, version: String(version) },
        'a master key was destroyed: it is not asked for any more',
      )
    }
  }
  await repeat(round, {
    everyMs,
    signal,
    onOutage: ({ code, failure }, error) => log.warn({ component: 'hsm', code, err: error }, failure.summary),
  })
}

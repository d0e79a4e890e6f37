import { setTimeout } from 'node:timers/promises'

import { classify } from '@sealfleet/failures'

import type { Lease } from './lease.js'

export type Committed = 'committed' | 'already' | 'fenced'

/** Between two tries of a commit that the database did not answer, milliseconds. */
const COMMIT_RETRY_MS = 500

/**
 * The last step of an attempt. The object is whole in the store, so a database that is out of reach for a moment must not
 * cost all that work: the commit is idempotent and is asked for again as long as the lease may hold. An answer that was
 * lost shows up as `already`.
 */
export async function commitWhileLeased(
  { lease, signal }: { readonly lease: Lease; readonly signal: AbortSignal },
  commit: () => Promise<Committed>,
): Promise<Committed> {
  for (;;) {
    lease.assertHeld()
    try {
      return await commit()
    } catch (error) {
      if (classify(error).code !== 'DB_UNAVAILABLE') throw error
      await setTimeout(COMMIT_RETRY_MS, undefined, { signal })
    }
  }
}

import { setTimeout } from 'node:timers/promises'

import { classify } from '@sealfleet/failures'
import type { CommitOutcome } from '@sealfleet/records/attempts'

import type { Lease } from './lease.js'

/** Interval between two tries of a commit that the database did not answer, milliseconds. */
const COMMIT_RETRY_MS = 500

/**
 * The last step of an attempt. The object is complete in the store, so a short outage of the database must not cost all
 * that work: the commit is idempotent and is retried as long as the lease may hold. A lost answer shows up as
 * `already`.
 */
export async function commitWhileLeased(
  { lease, signal }: { readonly lease: Lease; readonly signal: AbortSignal },
  commit: () => Promise<CommitOutcome>,
): Promise<CommitOutcome> {
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

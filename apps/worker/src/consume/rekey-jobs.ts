import { countRekey, type RekeyDependencies, rekeyItem, rekeyWord } from '@sealfleet/attempts'
import { parseRekeyJob, QUEUES } from '@sealfleet/queue'
import type { Metrics } from '@sealfleet/telemetry'

import type { JobKind } from './attempt-worker.js'

/** Jobs of the rekey queue: each re-encrypts the file of one item. The item's row decides what is next. */
export function rekeyJobs(dependencies: RekeyDependencies, metrics: Metrics): JobKind<string> {
  return {
    queue: QUEUES.rekey,
    read: (data) => parseRekeyJob(data).id,
    attempt: (itemId, owner, signal) => rekeyItem(dependencies, { itemId, owner }, { signal }),
    word: rekeyWord,
    storedMessage: 're-encrypted',
    // The dispatcher gives the item one when it is due.
    retriedByAnotherJob: true,
    onOutcome: (_, outcome, seconds) => countRekey(metrics, outcome, seconds),
  }
}

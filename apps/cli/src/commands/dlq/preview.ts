import { ingestJobId, jobPresence, type IngestQueue } from '@sealfleet/queue'
import { getFile, replayDeadLetter } from '@sealfleet/records/files'
import type { DeadLetterRow, Records } from '@sealfleet/records'
import { inTransaction } from '../../services/dry-run.js'
import { emptyTally, type Replayed, type ReplayTally } from './replay.js'

/**
 * Shows what a replay of these letters would do: runs each letter's statement and rolls it back, so a dry run refuses
 * what the real run refuses. Which files would die again is unknown.
 */
export async function rehearseReplay(
  records: Records,
  queue: IngestQueue,
  signal: AbortSignal,
  letters: readonly DeadLetterRow[],
  o: { readonly actor: string; readonly reason: string | undefined },
): Promise<ReplayTally> {
  const tally = emptyTally()
  for (const letter of letters) {
    signal.throwIfAborted()
    tally.outcomes[await outcomeOf(records, queue, letter, o)] += 1
  }
  return tally
}

async function outcomeOf(
  records: Records,
  queue: IngestQueue,
  letter: DeadLetterRow,
  { actor, reason }: { readonly actor: string; readonly reason: string | undefined },
): Promise<Replayed> {
  const result = await inTransaction(records, true, (tx) => replayDeadLetter(tx, { id: letter.id, actor, reason }))
  if (result.outcome === 'done') return result.fileId === null ? 'resolved' : 'replayed'
  if (result.outcome !== 'resolved' || letter.state !== 'REPLAYED' || result.fileId === null) return result.outcome
  // As in the run: already replayed, perhaps by a command that ended between the record and the job.
  const file = (await getFile(records, result.fileId))?.file
  if (file === undefined || (file.state !== 'QUEUED' && file.state !== 'RUNNING')) return 'resolved'
  const presence = await jobPresence(queue, ingestJobId(file.id, file.generation))
  return presence === 'live' ? 'resolved' : 'job-restored'
}

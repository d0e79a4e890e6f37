import { removeBrokenJob } from '../broken-jobs.js'
import { ingestJobId } from '../ingest/ids.js'
import type { IngestJobV1 } from '../ingest/schema.js'
import { addIngestJobs, jobPresence, jobPresences, type IngestQueue, type Presence } from './queue.js'
import type { ReadStates } from './terms.js'

/** Jobs per call, and files per statement. */
export const CHUNK_SIZE = 500

/** The fields of an accepted file that its job needs. */
export interface OpenFile {
  readonly id: string
  readonly generation: number
  readonly domain: string
  readonly source: { readonly root: string; readonly path: string }
  readonly context: Uint8Array
}

/**
 * What an open file needs: nothing, since its job will run; a job; or nothing any more, since it has ended. A job that
 * ended, or broke, while its file is still open is in the way (BullMQ ignores its id), so it is removed. But first the
 * file is read again, since it may have ended together with its job.
 * @param presence of the job, as it was just read
 */
export async function jobNeed(
  queue: IngestQueue,
  jobId: string,
  presence: Presence,
  stillOpen: () => Promise<boolean>,
): Promise<'none' | 'job' | 'ended'> {
  if (presence !== 'ended' && presence !== 'broken') return presence === 'live' ? 'none' : 'job'
  if (!(await stillOpen())) return 'ended'
  if (presence === 'broken') {
    await removeBrokenJob(queue, queue.redis, jobId)
    return 'job'
  }
  if ((await queue.remove(jobId)) === 1) return 'job'
  // Another process was faster: the job is gone, or runs again.
  return (await jobPresence(queue, jobId)) === 'absent' ? 'job' : 'none'
}

/**
 * Gives files their jobs, as the outbox's relay does. Files with a job that will run keep it; repeating it, or running
 * it twice at once, is harmless. `states` reads a file's state again when an ended job is in its way.
 * @returns how many jobs were added
 * @throws {CodedError} FLEET_MISMATCH when the queue is another fleet's
 * @throws errors of Redis and of `states`; jobs added before that stay
 */
export async function deliverJobs(queue: IngestQueue, files: readonly OpenFile[], states: ReadStates): Promise<number> {
  let added = 0
  for (let at = 0; at < files.length; at += CHUNK_SIZE) {
    const chunk = files.slice(at, at + CHUNK_SIZE)
    // Before the first look: another fleet's job of the same id would pass for ours.
    await queue.assertOurs()
    const stillOpen = async (fileId: string): Promise<boolean> => {
      const [now] = await states([fileId])
      return now?.state === 'QUEUED' || now?.state === 'RUNNING'
    }
    const jobIds = chunk.map(({ id, generation }) => ingestJobId(id, generation))
    const presences = await jobPresences(queue, jobIds)
    const needs = await Promise.all(
      chunk.map(({ id }, place) =>
        jobNeed(queue, jobIds[place] ?? '', presences[place] ?? 'absent', () => stillOpen(id)),
      ),
    )
    const jobless = chunk.filter((_, place) => needs[place] === 'job')
    await addIngestJobs(queue, jobless.map(jobOf))
    added += jobless.length
  }
  return added
}

/** Not validated again: a worker refuses a row that breaks the contract, which must not stop the others here. */
function jobOf({ id, domain, source, context, generation }: OpenFile): IngestJobV1 {
  return {
    v: 1,
    fileId: id,
    domain,
    source: { root: source.root, path: source.path },
    ...(context.length === 0 ? {} : { context: Buffer.from(context).toString('base64url') }),
    generation,
  }
}

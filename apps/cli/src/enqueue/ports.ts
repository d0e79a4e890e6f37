import type { Config } from '@sealfleet/config'
import {
  openIngestClient,
  type AcceptPort,
  type FileStatus,
  type OwnedIngestClient,
  type StatusPort,
} from '@sealfleet/jobs'
import { acceptFiles, fileStates, type Records } from '@sealfleet/records'
import type { CommandContext } from '../context.js'

/** The producer's client over the records; closed when the command ends. */
export async function openIngest(
  context: CommandContext,
  { redis }: Config<'redis'>,
  records: Records,
): Promise<OwnedIngestClient> {
  const ingest = await openIngestClient({
    redisUrl: redis.url.reveal(),
    prefix: redis.prefix,
    port: acceptPort(records),
    connectionName: 'sealfleet-cli',
  })
  context.defer(() => ingest.close())
  return ingest
}

/** Accepting as the producer's client wants it, over the records. */
function acceptPort(records: Records): AcceptPort {
  return {
    async accept(files) {
      const outcomes = await acceptFiles(records, files)
      return outcomes.map(({ outcome, state, generation }) => ({ outcome, file: { state, generation } }))
    },
  }
}

/** States as a wait wants them; `onEnd` is told of every file that has come to an end, each time it is seen. */
export function statusPort(records: Records, onEnd: (status: FileStatus) => void): StatusPort {
  return {
    async states(fileIds) {
      const statuses = await fileStates(records, fileIds)
      for (const status of statuses) if (status.state !== 'QUEUED' && status.state !== 'RUNNING') onEnd(status)
      return statuses
    },
  }
}

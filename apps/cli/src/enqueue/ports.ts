import type { AcceptPort, FileStatus, StatusPort } from '@sealfleet/jobs'
import { acceptFiles, fileStates, type Records } from '@sealfleet/records'

/** Accepting as the producer's client wants it, over the records. */
export function acceptPort(records: Records): AcceptPort {
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

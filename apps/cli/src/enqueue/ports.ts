import type { AcceptPort, AcceptRequest, FileStatus, StatusPort } from '@sealfleet/jobs'
import { acceptFiles, getFile, type Records } from '@sealfleet/records'

/** Accepting as the producer's client wants it, over the records. */
export function acceptPort(records: Records): AcceptPort {
  return {
    async accept(files) {
      const outcomes = await acceptFiles(records, files)
      return Promise.all(
        outcomes.map(async ({ outcome, state }, index) => {
          const asked = files[index]
          const generation = outcome === 'exists-same' ? await generationOf(records, asked) : (asked?.generation ?? 1)
          return { outcome, file: { state, generation } }
        }),
      )
    },
  }
}

/** A replayed file has a later generation than the one it was asked with. */
async function generationOf(records: Records, asked: AcceptRequest | undefined): Promise<number> {
  const found = asked === undefined ? undefined : await getFile(records, asked.fileId)
  return found?.file.generation ?? 1
}

/**
 * States of files that were accepted. Told of every file that has come to an end, once.
 *
 * Accepting the same requests again answers with their states, a thousand in one statement; the requests are kept for it.
 */
export function statusPort(
  records: Records,
  requests: ReadonlyMap<string, AcceptRequest>,
  onEnd: (status: FileStatus) => void,
): StatusPort {
  return {
    async states(fileIds) {
      const known = fileIds.flatMap((id) => requests.get(id) ?? [])
      const states = await acceptFiles(records, known)
      const statuses: FileStatus[] = []
      for (const { fileId, state } of states) {
        const code = state === 'DEAD' ? (await getFile(records, fileId))?.file.lastFailure?.code : undefined
        const status: FileStatus = code === undefined ? { fileId, state } : { fileId, state, code }
        statuses.push(status)
        if (state !== 'QUEUED' && state !== 'RUNNING') onEnd(status)
      }
      return statuses
    },
  }
}

/** Remembers what was accepted on its way to the records. */
export function remembering(port: AcceptPort, requests: Map<string, AcceptRequest>): AcceptPort {
  return {
    accept(files) {
      for (const file of files) requests.set(file.fileId, file)
      return port.accept(files)
    },
  }
}

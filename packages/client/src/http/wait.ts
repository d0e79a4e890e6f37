import { fileIdOf } from '../file-id.js'
import type { FileEnd, FileStatus, WaitOptions } from '../terms.js'
import { pause } from './transport.js'

/** Questions that are under way at once. */
const SIDE_BY_SIDE = 8

const ENDS: ReadonlySet<string> = new Set(['STORED', 'DEAD', 'DISCARDED', 'DELETED'])

type Ask = (id: string, signal: AbortSignal | undefined) => Promise<FileStatus | undefined>

/** Asks about files until each has ended. @throws the signal's reason; errors of `ask` */
export async function waitFor(
  ids: Iterable<string>,
  ask: Ask,
  { pollMs = 250, maxPollMs = 2_000, signal, onEnd }: WaitOptions,
): Promise<ReadonlyMap<string, FileEnd>> {
  const ended = new Map<string, FileEnd>()
  let open = [...new Set(Array.from(ids, fileIdOf))]
  for (let between = pollMs; ; between = Math.min(between * 2, maxPollMs)) {
    const round = open.values()
    const lane = async (): Promise<void> => {
      for (const id of round) {
        signal?.throwIfAborted()
        const status = await ask(id, signal)
        if (status === undefined || !ENDS.has(status.state)) continue
        const end = endOf(status)
        ended.set(id, end)
        onEnd?.(end)
      }
    }
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, lane))
    open = open.filter((id) => !ended.has(id))
    if (open.length === 0) return ended
    await pause(between, signal)
  }
}

function endOf({ fileId, state, lastFailure }: FileStatus): FileEnd {
  const code = state === 'DEAD' ? lastFailure?.code : undefined
  return { fileId, state: state as FileEnd['state'], ...(code !== undefined && { code }) }
}

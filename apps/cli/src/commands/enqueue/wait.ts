import { QUEUES, waitForFiles, type FileStatus } from '@sealfleet/queue'
import type { Records } from '@sealfleet/records'
import { fileStates } from '@sealfleet/records/files'
import { workerRedis } from '@sealfleet/runtime'
import type { Config } from '@sealfleet/config'
import type { QueueEvents } from 'bullmq'
import type { Redis } from 'ioredis'
import type { CommandContext } from '../../context.js'
import { createProgress } from '../../output/progress.js'
import { printable } from '../../output/printable.js'
import { humanSize } from '../../output/units.js'
import { Outages, POSTGRES_OUT } from './outages.js'
import type { PlannedFile } from './requests.js'

export interface Listening {
  readonly events: QueueEvents
  readonly connection: Redis
}

/**
 * Listens to the ingest queue's events for progress in bytes. Without them the wait continues, without bars, and says
 * so.
 */
export async function openQueueEvents(context: CommandContext, { redis }: Config<'redis'>): Promise<Listening> {
  const { QueueEvents } = await import('bullmq')
  const connection = await workerRedis({ redis }, 'sealfleet-cli-events')
  context.defer(() => connection.disconnect())
  const events = new QueueEvents(QUEUES.ingest, { connection, prefix: redis.prefix })
  events.on('error', () => undefined)
  context.defer(() => events.close())
  return { events, connection }
}

/** Waits until every file has ended and shows progress. Throws the signal's reason when stopped. */
export async function waitWithProgress(
  context: CommandContext,
  records: Records,
  files: readonly PlannedFile[],
  { events, connection }: Listening,
): Promise<ReadonlyMap<string, FileStatus>> {
  const byId = new Map(files.map((file) => [file.fileId, file]))
  const totalBytes = files.reduce((sum, { size }) => sum + size, 0)
  const progress = createProgress(context.io, {
    noun: 'files',
    items: byId.size,
    totalBytes,
    quiet: context.print.json,
  })
  const onEnd = ({ fileId, state, code }: FileStatus): void => {
    const file = byId.get(fileId)
    if (file === undefined) return
    const how = state === 'STORED' ? 'stored' : `${state.toLowerCase()}${code === undefined ? '' : ` (${code})`}`
    progress.finish(file.shown, file.size, `${how}  ${printable(file.shown)}  ${humanSize(file.size)}`)
  }
  const outages = new Outages(records, (text) => progress.note(text))
  const [redisIsOut, redisIsBack] = [() => outages.begin(REDIS_OUT), () => outages.end(REDIS_OUT)]
  connection.on('close', redisIsOut).on('ready', redisIsBack)
  using watch = outages.watch()
  void watch
  try {
    return await waitForFiles((fileIds) => fileStates(records, fileIds), byId.keys(), {
      signal: context.signal,
      events,
      onEnd,
      onTrouble: () => outages.begin(POSTGRES_OUT),
      onAnswer: () => outages.end(POSTGRES_OUT),
      onBytes: (fileId, { bytes, total }) => {
        const file = byId.get(fileId)
        // Progress counts the sealed object; users know the size of the file.
        if (file) {
          progress.update(file.shown, total === 0 ? 0 : Math.floor((bytes / total) * file.size), file.size)
        }
      },
    })
  } finally {
    connection.off('close', redisIsOut).off('ready', redisIsBack)
    progress.stop()
  }
}

const REDIS_OUT = 'Redis does not answer this command (bytes under way are not shown)'

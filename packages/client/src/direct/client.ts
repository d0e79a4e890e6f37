import { enqueueIngest, toFileId, waitForFiles, type OwnedIngestClient } from '@sealfleet/queue'
import type { BatchName, EnqueueAnswer, FileEnd, FileStatus, NewFile, WaitOptions } from '../terms.js'
import { accepted, answerOf } from './answers.js'
import { openBatch } from './batch.js'
import { coded } from './coded.js'
import type { Database } from './database.js'
import { withDomainIds } from './domains.js'
import { readFile, statesBy } from './file-status.js'
import type { DirectClient, EnqueueManyOptions, PgTransaction, PrismaTransaction } from './terms.js'
import { queryOf } from './transaction.js'

interface InBatch {
  readonly batch?: BatchName | undefined
}

/** @param ingest undefined: files are only accepted, and maintenance brings their jobs */
export function directClient(database: Database, ingest: OwnedIngestClient | undefined): DirectClient {
  const { query, pool } = database

  /** Chunks of requests, each looked up when it is asked for. */
  async function* resolved(files: Files, { chunkSize = 500, signal }: EnqueueManyOptions) {
    for await (const chunk of inChunks(files, Math.min(Math.max(1, Math.trunc(chunkSize)), 1_000))) {
      signal?.throwIfAborted()
      yield await withDomainIds(query, chunk)
    }
  }

  async function* enqueueChunks(files: Files, options: EnqueueManyOptions) {
    const { batch, signal, chunkSize } = options
    const batchId = batch === undefined ? undefined : await openBatch(query, batch)
    if (ingest !== undefined) {
      yield* ingest.client.enqueueChunks(flat(resolved(files, options)), { batchId, chunkSize, signal })
      return
    }
    for await (const requests of resolved(files, options)) {
      const connection = await pool.connect()
      try {
        // One statement, since a chunk is no larger than one: all of it is accepted, or nothing.
        yield await enqueueIngest(connection, requests, { batchId })
      } finally {
        connection.release()
      }
    }
  }

  async function* enqueueMany(files: Files, options: EnqueueManyOptions = {}): AsyncGenerator<EnqueueAnswer, void> {
    let index = 0
    const chunks = enqueueChunks(files, options)
    try {
      for await (const results of chunks) for (const result of results) yield answerOf(result, index++)
    } catch (error) {
      throw coded(error)
    }
  }

  async function enqueueIn(
    tx: PgTransaction | PrismaTransaction,
    asked: NewFile | readonly NewFile[],
    { batch }: InBatch = {},
  ) {
    const files = isMany(asked) ? asked : [asked]
    const answers = await orCoded(async () => {
      const inside = queryOf(tx)
      const batchId = batch === undefined ? undefined : await openBatch(inside, batch)
      const results = await enqueueIngest(tx, await withDomainIds(inside, files), { batchId })
      return results.map(answerOf)
    })
    return isMany(asked) ? answers : accepted(answers[0])
  }

  async function waitForAll(ids: Iterable<string>, options: WaitOptions = {}): Promise<ReadonlyMap<string, FileEnd>> {
    const { pollMs, maxPollMs, signal, onEnd } = options
    const ended = await orCoded(() =>
      waitForFiles(statesBy(query), Array.from(ids, toFileId), {
        ...(pollMs !== undefined && { pollMs }),
        ...(maxPollMs !== undefined && { maxPollMs }),
        ...(signal !== undefined && { signal }),
        onEnd: (status) => onEnd?.(status as FileEnd),
      }),
    )
    return ended as ReadonlyMap<string, FileEnd>
  }

  const close = async (): Promise<void> => {
    await ingest?.close()
    await database.close()
  }

  return {
    enqueue: async (file, options = {}) => {
      for await (const answer of enqueueMany([file], options)) return accepted(answer)
      throw new Error('one file has one answer')
    },
    enqueueMany,
    enqueueIn: enqueueIn as DirectClient['enqueueIn'],
    get: (id): Promise<FileStatus | undefined> => orCoded(() => readFile(query, toFileId(id))),
    wait: async (id, options) => {
      const [end] = (await waitForAll([id], options)).values()
      if (end === undefined) throw new Error('a file that was waited for has ended')
      return end
    },
    waitForAll,
    close,
    [Symbol.asyncDispose]: close,
  }
}

type Files = Iterable<NewFile> | AsyncIterable<NewFile>

async function orCoded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw coded(error)
  }
}

async function* inChunks(files: Files, size: number): AsyncGenerator<readonly NewFile[]> {
  let chunk: NewFile[] = []
  for await (const file of files) {
    if (chunk.push(file) < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}

async function* flat<T>(chunks: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const chunk of chunks) yield* chunk
}

function isMany(asked: NewFile | readonly NewFile[]): asked is readonly NewFile[] {
  return Array.isArray(asked)
}

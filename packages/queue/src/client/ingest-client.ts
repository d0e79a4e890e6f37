import type { Redis } from 'ioredis'
import { classify } from '@sealfleet/failures'
import { CodedError } from '@sealfleet/failures'
import { claimQueues } from '../fleet.js'
import { ingestJobId } from '../ingest/ids.js'
import type { ProducerSettings } from '../redis.js'
import { CHUNK_SIZE, jobNeed } from './deliver.js'
import { conflictResult, finalOutcome, inOrder, prepareChunk, type Chunk, type Prepared } from './prepare.js'
import { addIngestJobs, jobPresences, type IngestQueue, type Presence } from './queue.js'
import type { AcceptOutcome, AcceptFiles, EnqueueResult, IngestRequest } from './terms.js'

export interface EnqueueManyOptions {
  /** the batch they belong to */
  readonly batchId?: string | undefined
  readonly chunkSize?: number | undefined
  /** called after each chunk with the number of requests done */
  readonly onProgress?: ((done: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** A chunk whose files PostgreSQL has, and that may still need their jobs. */
interface Accepted {
  readonly requests: readonly IngestRequest[]
  readonly chunk: Chunk
  readonly outcomes: readonly AcceptOutcome[]
}

/**
 * The producer's client: records a file in PostgreSQL (from then on it cannot be lost), then adds its job to Redis.
 *
 * Repeating a request is safe: the same id with the same request never makes a second job, unless the first was lost.
 * So after any failure, and after a crash between the two writes, repeat the request; maintenance does it eventually,
 * too.
 */
export class IngestClient {
  readonly #acceptFiles: AcceptFiles
  readonly #queue: IngestQueue

  constructor(accept: AcceptFiles, queue: IngestQueue) {
    this.#acceptFiles = accept
    this.#queue = queue
  }

  /**
   * Enqueues one file.
   * @throws {CodedError} PAYLOAD_INVALID or REQUEST_CONFLICT; REDIS_UNAVAILABLE when it was accepted but has no job yet
   * @throws errors of `accept` (RecordsError DB_UNAVAILABLE, …)
   */
  async enqueue(
    request: IngestRequest,
    options: { batchId?: string } = {},
  ): Promise<EnqueueResult & { readonly fileId: string }> {
    const [result] = await this.#enqueueChunk([request], options.batchId)
    if (result === undefined) throw new Error('one request gives one result')
    const { fileId, error } = result
    if (error !== undefined) throw error
    if (fileId === undefined) throw new Error('a valid request has a file id')
    return { ...result, fileId }
  }

  /**
   * Enqueues many; one bad request doesn't stop the others. Results in the order of the requests; other errors are
   * thrown as by `enqueue`.
   */
  async enqueueMany(requests: Requests, options: EnqueueManyOptions = {}): Promise<readonly EnqueueResult[]> {
    const all: EnqueueResult[] = []
    for await (const results of this.enqueueChunks(requests, options)) all.push(...results)
    return all
  }

  /**
   * As `enqueueMany`, for more requests than memory should hold: yields the results of each chunk when it is done. From
   * the second on, a chunk is accepted while the one before gets its jobs.
   */
  async *enqueueChunks(requests: Requests, options: EnqueueManyOptions = {}): AsyncGenerator<readonly EnqueueResult[]> {
    const { chunkSize = CHUNK_SIZE, batchId, onProgress, signal } = options
    const source = inChunks(requests, chunkSize)
    /** The chunk that is accepted, or was, while the one before gets its jobs. */
    let ahead: Promise<Accepted> | undefined
    /** The caller takes no more: what the source still gives is not accepted. */
    let over = false
    const acceptNext = (): Promise<Accepted | undefined> => {
      const accepting = (async () => {
        const { value: chunk } = await source.next()
        signal?.throwIfAborted()
        return chunk === undefined || over ? undefined : (ahead = this.#acceptChunk(chunk, batchId))
      })()
      // It may fail while the chunk before is delivered; it is awaited after that.
      accepting.catch(() => undefined)
      return accepting
    }
    let done = 0
    let next = acceptNext()
    try {
      for (let accepted = await next; accepted !== undefined; accepted = await next) {
        ahead = undefined
        // The first chunk goes alone: an error that all would meet leaves no second one without jobs.
        const alone = done === 0
        if (!alone) next = acceptNext()
        const results = await this.#deliverChunk(accepted)
        done += results.length
        onProgress?.(done)
        yield results
        if (alone) next = acceptNext()
      }
    } finally {
      over = true
      // The caller stopped, or something failed: files that were accepted meanwhile get their jobs, if they can.
      const rest = await ahead?.catch(() => undefined)
      if (rest !== undefined) await this.#deliverChunk(rest).catch(() => undefined)
      // Not awaited: a source that waits for more input would block the end.
      source.return(undefined).catch(() => undefined)
    }
  }

  async #enqueueChunk(
    requests: readonly IngestRequest[],
    batchId: string | undefined,
  ): Promise<readonly EnqueueResult[]> {
    return this.#deliverChunk(await this.#acceptChunk(requests, batchId))
  }

  async #acceptChunk(requests: readonly IngestRequest[], batchId: string | undefined): Promise<Accepted> {
    const chunk = prepareChunk(requests, batchId)
    const outcomes = chunk.files.length === 0 ? [] : await this.#accept(chunk.files)
    return { requests, chunk, outcomes }
  }

  async #deliverChunk({ requests, chunk, outcomes }: Accepted): Promise<readonly EnqueueResult[]> {
    return inOrder(requests, chunk, await this.#deliver(chunk.files, outcomes))
  }

  async #accept(files: readonly Prepared[]): Promise<readonly AcceptOutcome[]> {
    const outcomes = await this.#acceptFiles(files.map(({ accept }) => accept))
    if (outcomes.length !== files.length)
      throw new Error(`${files.length} files were to be accepted, ${outcomes.length} outcomes came`)
    return outcomes
  }

  /** Gives a job to each accepted file that has none. */
  async #deliver(files: readonly Prepared[], outcomes: readonly AcceptOutcome[]): Promise<readonly EnqueueResult[]> {
    try {
      await this.#queue.assertOurs()
      const generationOf = (place: number): number => outcomes[place]?.generation ?? 1
      const presences = await jobPresences(
        this.#queue,
        files.map(({ job }, place) => ingestJobId(job.fileId, generationOf(place))),
      )
      const results = await Promise.all(
        files.map((file, place) => this.#resultFor(file, outcomes[place], presences[place] ?? 'absent')),
      )
      await addIngestJobs(
        this.#queue,
        results.flatMap(({ job }) => (job === undefined ? [] : [job])),
      )
      return results.map(({ result }) => result)
    } catch (error) {
      if (error instanceof CodedError || classify(error, { during: 'redis' }).code !== 'REDIS_UNAVAILABLE') throw error
      const message = 'the files are accepted, but Redis did not take their jobs'
      throw new CodedError('REDIS_UNAVAILABLE', message, {
        cause: error,
        fix: 'Ask again with the same ids once Redis answers; nothing is lost or doubled.',
      })
    }
  }

  /** The result of one file, and the job that it still needs. */
  async #resultFor(
    file: Prepared,
    outcome: AcceptOutcome | undefined,
    presence: Presence,
  ): Promise<{ result: EnqueueResult; job?: Prepared['job'] }> {
    const { request } = file
    const { fileId } = file.job
    if (outcome === undefined) throw new Error('every file has an outcome')
    if (outcome.outcome === 'conflict') return { result: conflictResult(request, fileId) }
    let final = finalOutcome(outcome)
    if (final !== undefined) return { result: { request, fileId, outcome: final } }
    const { generation } = outcome
    const jobId = ingestJobId(fileId, generation)
    const fresh = outcome.outcome === 'accepted'
    const need = await jobNeed(this.#queue, jobId, presence, async () => {
      const [now] = await this.#accept([file])
      final = now && finalOutcome(now)
      return final === undefined
    })
    if (final !== undefined) return { result: { request, fileId, outcome: final } }
    if (need !== 'job') return { result: { request, fileId, jobId, outcome: fresh ? 'queued' : 'already-queued' } }
    return {
      result: { request, fileId, jobId, outcome: fresh ? 'queued' : 'requeued' },
      job: { ...file.job, generation },
    }
  }
}

export type Requests = Iterable<IngestRequest> | AsyncIterable<IngestRequest>

async function* inChunks(requests: Requests, size: number): AsyncGenerator<readonly IngestRequest[], undefined> {
  let chunk: IngestRequest[] = []
  for await (const request of requests) {
    if (chunk.push(request) < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
  return undefined
}

/** A client with its own connection and queue; dispose it to close both. */
export interface OwnedIngestClient extends AsyncDisposable {
  readonly client: IngestClient
  readonly queue: IngestQueue
  readonly redis: Redis
  close(): Promise<void>
}

/**
 * Connects a client; refuses a Redis that may evict keys, and queues of another fleet.
 * @param options.fleet id of the fleet whose database `accept` writes to (`getFleet(records)`, or
 * `sealfleet fleet show`). Give it if it is known: without it jobs can reach the queues of another fleet
 * @throws {CodedError} CONFIG_INVALID (plaintext beyond this machine, without `allowPlaintext`), REDIS_UNAVAILABLE,
 * REDIS_ACCESS_DENIED, REDIS_UNSUITABLE, FLEET_MISMATCH
 */
export async function openIngestClient(
  options: ProducerSettings & {
    readonly redisUrl: string
    readonly prefix?: string
    readonly fleet?: string
    readonly accept: AcceptFiles
  },
): Promise<OwnedIngestClient> {
  const { redisUrl, prefix, fleet, accept, ...settings } = options
  // Loaded here: a program that may enqueue starts without BullMQ and ioredis.
  const [{ assertNoEviction, connectProducer }, { createIngestQueue }] = await Promise.all([
    import('../redis.js'),
    import('./create-queue.js'),
  ])
  const redis = await connectProducer(redisUrl, settings)
  try {
    await assertNoEviction(redis)
    if (fleet !== undefined) await claimQueues(redis, fleet, prefix)
  } catch (error) {
    redis.disconnect()
    throw error
  }
  const { onError } = settings
  const queue = createIngestQueue(redis, {
    ...(prefix === undefined ? {} : { prefix }),
    ...(fleet === undefined ? {} : { fleet }),
    ...(onError === undefined ? {} : { onError }),
  })
  const close = async (): Promise<void> => {
    await queue.close()
    redis.disconnect()
  }
  return { client: new IngestClient(accept, queue), queue, redis, close, [Symbol.asyncDispose]: close }
}

import type { Redis } from 'ioredis'
import { classify } from '@sealfleet/failures'
import { CodedError } from '@sealfleet/failures'
import { claimQueues } from '../fleet.js'
import { ingestJobId } from '../ingest/ids.js'
import { assertNoEviction, connectProducer, type ProducerSettings } from '../redis.js'
import { CHUNK_SIZE, jobNeed } from './deliver.js'
import { conflictResult, finalOutcome, inOrder, prepareChunk, type Prepared } from './prepare.js'
import { addIngestJobs, createIngestQueue, type IngestQueue } from './queue.js'
import type { AcceptOutcome, AcceptFiles, EnqueueResult, IngestRequest } from './terms.js'

export interface EnqueueManyOptions {
  /** the batch they belong to */
  readonly batchId?: string | undefined
  readonly chunkSize?: number | undefined
  /** called after each chunk with the number of requests done */
  readonly onProgress?: ((done: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
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

  /** As `enqueueMany`, for more requests than memory should hold: yields the results of each chunk when it is done. */
  async *enqueueChunks(requests: Requests, options: EnqueueManyOptions = {}): AsyncGenerator<readonly EnqueueResult[]> {
    const { chunkSize = CHUNK_SIZE, batchId, onProgress, signal } = options
    let done = 0
    for await (const chunk of inChunks(requests, chunkSize)) {
      signal?.throwIfAborted()
      const results = await this.#enqueueChunk(chunk, batchId)
      done += results.length
      onProgress?.(done)
      yield results
    }
  }

  async #enqueueChunk(
    requests: readonly IngestRequest[],
    batchId: string | undefined,
  ): Promise<readonly EnqueueResult[]> {
    const chunk = prepareChunk(requests, batchId)
    const { files } = chunk
    const outcomes = files.length === 0 ? [] : await this.#accept(files)
    const settled = await this.#deliver(files, outcomes)
    return inOrder(requests, chunk, settled)
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
      const results = await Promise.all(files.map((file, place) => this.#resultFor(file, outcomes[place])))
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
    const need = await jobNeed(this.#queue, jobId, async () => {
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

async function* inChunks(requests: Requests, size: number): AsyncGenerator<readonly IngestRequest[]> {
  let chunk: IngestRequest[] = []
  for await (const request of requests) {
    if (chunk.push(request) < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
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

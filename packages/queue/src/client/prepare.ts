import { CodedError } from '@sealfleet/failures'
import { toFileId } from '../ingest/ids.js'
import { fingerprintOf, ingestJobFor, requestOf } from '../ingest/request.js'
import type { IngestJobV1 } from '../ingest/schema.js'
import type { AcceptOutcome, AcceptRequest, EnqueueOutcome, EnqueueResult, FileState, IngestRequest } from './terms.js'

/** A request with its job and fingerprint; `result` is its place among the results. */
export interface Prepared {
  readonly request: IngestRequest
  readonly job: IngestJobV1
  readonly accept: AcceptRequest
  readonly index: number
}

/** A chunk of requests, split into those for PostgreSQL and those with a known result. */
export interface Chunk {
  /** one per file id; the first request counts */
  readonly files: readonly Prepared[]
  /** the same id and request again within the chunk: index → its place in `files` */
  readonly repeats: ReadonlyMap<number, number>
  /** results that are known already: index → result */
  readonly known: ReadonlyMap<number, EnqueueResult>
}

export function prepareChunk(requests: readonly IngestRequest[], batchId?: string): Chunk {
  const files: Prepared[] = []
  const places = new Map<string, number>()
  const repeats = new Map<number, number>()
  const known = new Map<number, EnqueueResult>()
  for (const [index, request] of requests.entries()) {
    const prepared = prepare(request, index, batchId)
    if (prepared instanceof CodedError) {
      known.set(index, { request, outcome: 'invalid', error: prepared })
      continue
    }
    const { fileId, fingerprint } = prepared.accept
    const place = places.get(fileId)
    const twin = place === undefined ? undefined : files[place]
    if (place === undefined || twin === undefined) places.set(fileId, files.push(prepared) - 1)
    else if (twin.accept.fingerprint.equals(fingerprint)) repeats.set(index, place)
    else known.set(index, conflictResult(request, fileId))
  }
  return { files, repeats, known }
}

/** Results of all requests in their order, from those of `files`. A repeat of a queued request is already queued. */
export function inOrder(
  requests: readonly IngestRequest[],
  { files, repeats, known }: Chunk,
  settled: readonly EnqueueResult[],
): readonly EnqueueResult[] {
  const places = new Map([...files.map((file, place) => [file.index, place] as const), ...repeats])
  return requests.map((request, index) => {
    const result = known.get(index) ?? settled[places.get(index) ?? -1]
    if (result === undefined) throw new Error('every request has a result')
    const repeated = repeats.has(index) && result.outcome === 'queued'
    return repeated ? { ...result, request, outcome: 'already-queued' } : { ...result, request }
  })
}

const FINAL: Readonly<Partial<Record<FileState, EnqueueOutcome>>> = {
  STORED: 'stored',
  DEAD: 'dead',
  DISCARDED: 'discarded',
  DELETED: 'deleted',
}

/** The producer's result for a file that has ended; undefined while it is open. */
export function finalOutcome({ state }: Pick<AcceptOutcome, 'state'>): EnqueueOutcome | undefined {
  return FINAL[state]
}

export function conflictResult(request: IngestRequest, fileId: string): EnqueueResult {
  const error = new CodedError(
    'REQUEST_CONFLICT',
    `file id ${fileId} was used before for another source, domain or context`,
  )
  return { request, outcome: 'conflict', fileId, error }
}

function prepare(request: IngestRequest, index: number, batchId: string | undefined): Prepared | CodedError {
  try {
    const job = ingestJobFor({
      domain: request.domain ?? 'default',
      root: request.root,
      path: request.path,
      context: request.context ?? Buffer.alloc(0),
      ...(request.id === undefined ? {} : { fileId: toFileId(request.id) }),
    })
    const { fileId, domain, source, generation } = job
    const accept = {
      fileId,
      domain,
      source,
      generation,
      context: requestOf(job).context,
      fingerprint: fingerprintOf(job),
    }
    return { request, job, index, accept: batchId === undefined ? accept : { ...accept, batchId } }
  } catch (error) {
    if (error instanceof CodedError) return error
    throw error
  }
}

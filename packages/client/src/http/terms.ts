import type { BatchName, FileState } from '../terms.js'
import type { CallOptions } from './options.js'

export interface EnqueueOptions extends CallOptions {
  /** the batch it belongs to; it is made unless it exists */
  readonly batch?: BatchName | undefined
}

export interface EnqueueManyOptions extends EnqueueOptions {
  /** files in one request, 1 to 10,000; default 1,000 */
  readonly chunkSize?: number | undefined
}

/** Files of which all that is given is true. Times are ISO 8601. */
export interface FileQuery extends CallOptions {
  readonly state?: FileState | undefined
  /** the failure code of those that failed and were not stored since */
  readonly code?: string | undefined
  /** a key domain, by its name or its id */
  readonly domain?: string | undefined
  /** the beginning of the path below the root */
  readonly prefix?: string | undefined
  /** a batch, by its name or its id */
  readonly batch?: string | undefined
  readonly acceptedAfter?: string | undefined
  readonly acceptedBefore?: string | undefined
  /** files in one answer, 1 to 1,000; default 100 */
  readonly pageSize?: number | undefined
}

/** Whether a stored object is whole and authentic: read and checked without being decrypted. */
export interface VerifyReport {
  readonly ok: boolean
  readonly [field: string]: unknown
}

/** A batch's files by state, and what else the gateway says of it. */
export interface BatchReport {
  readonly byState: Readonly<Partial<Record<FileState, number>>>
  readonly [field: string]: unknown
}

/** A file that will not be tried again, or a request that was refused. */
export interface DeadLetter {
  /** of the dead letter: what `replayDeadLetters` and `discardDeadLetters` take */
  readonly id: string
  readonly fileId: string | null
  readonly domain: string | null
  /** the failure code (docs/reference/failure-codes.md) */
  readonly code: string
  readonly reason: string
  readonly state: string
  readonly createdAt: string
  readonly [field: string]: unknown
}

export interface DeadLetterQuery extends CallOptions {
  readonly code?: string | undefined
  readonly domain?: string | undefined
  readonly pageSize?: number | undefined
}

import type { CodedError } from '@sealfleet/failures'

/** States of a file in PostgreSQL. The last four are final. */
export type FileState = 'QUEUED' | 'RUNNING' | 'STORED' | 'DEAD' | 'DISCARDED' | 'DELETED'

/** A producer's request to keep a file. */
export interface IngestRequest {
  /** a UUID, or any text that names the file upstream; without it the id is made from the content of the request */
  readonly id?: string | undefined
  /** key domain; `default` when not given */
  readonly domain?: string | undefined
  /** name of the root */
  readonly root: string
  /** path below the root */
  readonly path: string
  /** bytes to bind to the file */
  readonly context?: Uint8Array | undefined
}

/** One file to be recorded in PostgreSQL before its job goes to Redis. */
export interface AcceptRequest {
  readonly fileId: string
  readonly domain: string
  readonly source: { readonly root: string; readonly path: string }
  readonly context: Uint8Array
  readonly fingerprint: Buffer
  readonly generation: number
  readonly batchId?: string
}

/** PostgreSQL's answer to one of them: how it was accepted, and the present file (on a conflict: the first one). */
export interface AcceptOutcome {
  readonly outcome: 'accepted' | 'exists-same' | 'conflict'
  readonly state: FileState
  readonly generation: number
}

/**
 * Records files in PostgreSQL; the outcomes have the order of the files. `acceptFiles` of packages/records is one:
 * `(files) => acceptFiles(records, files)`.
 */
export type AcceptFiles = (files: readonly AcceptRequest[]) => Promise<readonly AcceptOutcome[]>

/** A file's state, and for a dead one the failure code. */
export interface FileStatus {
  readonly fileId: string
  readonly state: FileState
  readonly code?: string | undefined
}

/**
 * Reads the states of files in PostgreSQL; unknown files are left out. `fileStates` of packages/records is one:
 * `(fileIds) => fileStates(records, fileIds)`.
 */
export type ReadStates = (fileIds: readonly string[]) => Promise<readonly FileStatus[]>

/**
 * The outcome of one request: `queued`: accepted, with a job; `already-queued`: a repeat, and the file is in progress;
 * `requeued`: a repeat whose job was lost, with a new one; `stored`, `dead`, `discarded`, `deleted`: a repeat, and the
 * file is in that state (a dead one is replayed, not enqueued again); `conflict`: the id belongs to another request;
 * `invalid`: the request breaks the contract.
 */
export type EnqueueOutcome =
  'queued' | 'already-queued' | 'requeued' | 'stored' | 'dead' | 'discarded' | 'deleted' | 'conflict' | 'invalid'

export interface EnqueueResult {
  readonly request: IngestRequest
  readonly outcome: EnqueueOutcome
  /** undefined for an invalid request */
  readonly fileId?: string
  /** if the file has a job */
  readonly jobId?: string
  /** REQUEST_CONFLICT or PAYLOAD_INVALID */
  readonly error?: CodedError
}

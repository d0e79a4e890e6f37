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

/** PostgreSQL's answer to one of them. */
export interface AcceptOutcome {
  readonly outcome: 'accepted' | 'exists-same' | 'conflict'
  /** the present file (on a conflict: the first one) */
  readonly file: { readonly state: FileState; readonly generation: number }
}

/** Accepting files, as packages/records does it; the app connects the two. Outcomes come in the order of the files. */
export interface AcceptPort {
  accept(files: readonly AcceptRequest[]): Promise<readonly AcceptOutcome[]>
}

/** A file's state, and for a dead one the failure code. */
export interface FileStatus {
  readonly fileId: string
  readonly state: FileState
  readonly code?: string | undefined
}

/** Reads file states, as packages/records does it. Unknown files are left out. */
export interface StatusPort {
  states(fileIds: readonly string[]): Promise<readonly FileStatus[]>
}

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

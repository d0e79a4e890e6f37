/**
 * Terms. A *file* is what is handed in: an id (a UUID) and one request, which is a root, a path, a key domain and a
 * context. A *root* is a folder that the operators have named; a *key domain* is a retention class with keys of its
 * own. A file is *accepted* once the fleet's database has it: from then on it cannot be lost. It *ends* in one of four
 * states and is then STORED, DEAD, DISCARDED or DELETED.
 *
 * These types stand here, and are not imported from the fleet's own packages, since those are not published
 * (docs/decisions/0037). A test compares the two.
 */
import type { SealfleetError } from './sealfleet-error.js'

/** States of a file. The last four are its ends: only an operator changes them. */
export type FileState = 'QUEUED' | 'RUNNING' | 'STORED' | 'DEAD' | 'DISCARDED' | 'DELETED'

/** A file to be handed in: its bytes are below a root that the fleet's workers read. */
export interface NewFile {
  /**
   * A UUID, or any text that names the file in your system ("invoice 17"). The same id with the same request is the same
   * file, however often it is handed in. Without an id, it is made from the request itself.
   */
  readonly id?: string | undefined
  /** name of the root: 1 to 64 of a-z, 0-9 and - */
  readonly root: string
  /** path below the root: relative, with / between its parts, at most 4,096 bytes of UTF-8 */
  readonly path: string
  /** key domain, by its name or its id; `default` when not given */
  readonly domain?: string | undefined
  /** 0 to 1,024 bytes to bind to the file: authenticated with it, but not encrypted */
  readonly context?: Uint8Array | undefined
}

/** A batch by its name (or its UUID); with `expected`, the number of files that there will be, its progress is known. */
export type BatchName = string | { readonly name: string; readonly expected?: number | undefined }

/**
 * `queued`: accepted, and its job is on its way. `already-queued`: handed in before, and in progress. `requeued`: handed
 * in before, and its job was lost; it has a new one. `stored`, `dead`, `discarded`, `deleted`: handed in before, and
 * this is how it ended. `conflict`: the id belongs to another request. `invalid`: the request breaks a rule.
 */
export type EnqueueOutcome =
  'queued' | 'already-queued' | 'requeued' | 'stored' | 'dead' | 'discarded' | 'deleted' | 'conflict' | 'invalid'

/** The answer to one file that was handed in. */
export interface EnqueueAnswer {
  /** place among the files that were handed in, from 0 */
  readonly index: number
  readonly outcome: EnqueueOutcome
  /** undefined when the request is invalid */
  readonly fileId?: string | undefined
  /** the id of its BullMQ job, while it has one */
  readonly jobId?: string | undefined
  /** why it is `conflict` (code REQUEST_CONFLICT) or `invalid` (PAYLOAD_INVALID, or NOT_FOUND for its key domain) */
  readonly error?: SealfleetError | undefined
}

/** An answer to a file that was accepted. */
export type AcceptedFile = EnqueueAnswer & { readonly fileId: string }

/** How a file ended. */
export interface FileEnd {
  readonly fileId: string
  readonly state: Extract<FileState, 'STORED' | 'DEAD' | 'DISCARDED' | 'DELETED'>
  /** of a DEAD file: the failure code (docs/reference/failure-codes.md) */
  readonly code?: string | undefined
}

/** What the fleet knows of a file. Times are ISO 8601 in UTC, by the database's clock. */
export interface FileStatus {
  readonly fileId: string
  readonly state: FileState
  /** name of its key domain */
  readonly domain: string
  readonly root: string
  readonly path: string
  readonly batchId: string | null
  readonly acceptedAt: string
  readonly storedAt: string | null
  readonly deletedAt: string | null
  /** bytes of the file itself, once it is STORED */
  readonly length: number | null
  /** how often a worker has begun to store it */
  readonly attempts: number
  /** of a file that is not STORED; `nextTryAt`: when it is tried again at the earliest, null when it is not */
  readonly lastFailure: { readonly code: string; readonly at: string; readonly nextTryAt: string | null } | null
}

export interface WaitOptions {
  /** milliseconds between two questions: from `pollMs` (default 250), doubling up to `maxPollMs` (default 2,000) */
  readonly pollMs?: number | undefined
  readonly maxPollMs?: number | undefined
  /** abort it to stop waiting: `AbortSignal.timeout(60_000)` for a limit */
  readonly signal?: AbortSignal | undefined
  /** called with each file that has ended, once */
  readonly onEnd?: ((end: FileEnd) => void) | undefined
}

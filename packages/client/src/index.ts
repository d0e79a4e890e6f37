/** `@sealfleet/client`: the HTTP API, by the global `fetch` alone. */
export { SealfleetClient } from './http/client.js'
export type { ReadOptions, StoredContent } from './http/download.js'
export type { CallOptions, SealfleetClientOptions } from './http/options.js'
export type {
  BatchReport,
  DeadLetter,
  DeadLetterQuery,
  EnqueueManyOptions,
  EnqueueOptions,
  FileQuery,
  VerifyReport,
} from './http/terms.js'
export type { UploadOptions, UploadSource } from './http/upload.js'
export { SealfleetError } from './sealfleet-error.js'
export type {
  AcceptedFile,
  BatchName,
  EnqueueAnswer,
  EnqueueOutcome,
  FileEnd,
  FileState,
  FileStatus,
  NewFile,
  WaitOptions,
} from './terms.js'

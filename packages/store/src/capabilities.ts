/** What a store was seen to do when it was opened. Nothing here comes from its name or its documentation. */
export interface Capabilities {
  /** False when opened read-only: then the other fields are what is safe to assume, not what was seen. */
  readonly probed: boolean
  /** `If-None-Match: *` on an existing key is refused with 412, so nothing can be overwritten. */
  readonly ifNoneMatch: { readonly put: boolean; readonly complete: boolean }
  /** `If-Match` with another ETag is refused with 412. Where it isn't, readers compare the answer's ETag themselves. */
  readonly ifMatch: boolean
  /** The bucket keeps versions and tells their ids. */
  readonly versioning: boolean
  /** Unfinished multipart uploads can be listed, and aborted. Where not, failed puts leave parts behind. */
  readonly listUploads: boolean
  readonly abortUploads: boolean
  readonly listVersions: boolean
  /** A HEAD tells the object's CRC-32. */
  readonly checksumInHead: boolean
  /** The ETag is the MD5 of the body; of a multipart object, the MD5 of its parts' MD5s, `-`, their number. */
  readonly etagIsMd5: { readonly put: boolean; readonly multipart: boolean }
  /** Our credentials may delete. Workers need not. */
  readonly delete: boolean
  /** What is written here can't be deleted for a while (object lock); until then what was tried out stays. */
  readonly lockedUntil?: Date
}

/** For a store opened read-only: claim nothing, and let requests say what the store can't do. */
export const UNPROBED: Capabilities = {
  probed: false,
  ifNoneMatch: { put: false, complete: false },
  ifMatch: false,
  versioning: false,
  listUploads: true,
  abortUploads: true,
  listVersions: true,
  checksumInHead: false,
  etagIsMd5: { put: false, multipart: false },
  delete: false,
}

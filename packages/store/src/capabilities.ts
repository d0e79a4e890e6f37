/** The abilities of a store, as seen when it was opened. None is derived from its name or its documentation. */
export interface Capabilities {
  /** False when opened read-only: then the other fields are safe assumptions, not observations. */
  readonly probed: boolean
  /** `If-None-Match: *` on an existing key is refused with 412, so nothing can be overwritten. */
  readonly ifNoneMatch: { readonly put: boolean; readonly complete: boolean }
  /**
   * `If-Match` with another ETag is refused with 412. On other stores, readers compare the answer's ETag themselves.
   */
  readonly ifMatch: boolean
  /** The bucket keeps versions and returns their ids. */
  readonly versioning: boolean
  /** Unfinished multipart uploads can be listed, and aborted. On other stores, failed puts leave parts behind. */
  readonly listUploads: boolean
  readonly abortUploads: boolean
  readonly listVersions: boolean
  /** A HEAD returns the object's CRC-32. */
  readonly checksumInHead: boolean
  /** The ETag is the MD5 of the body; of a multipart object, the MD5 of its parts' MD5s, `-`, their number. */
  readonly etagIsMd5: { readonly put: boolean; readonly multipart: boolean }
  /** Our credentials may delete. Workers do not need this right. */
  readonly delete: boolean
  /** Written objects cannot be deleted for a while (object lock); until then the objects of the trial stay. */
  readonly lockedUntil?: Date
}

/** For a store opened read-only: assumes no ability; failing requests report what the store cannot do. */
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

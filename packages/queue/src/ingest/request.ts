import { createHash } from 'node:crypto'
import { v5 as uuidv5 } from 'uuid'
import { CONTENT_ID_NAMESPACE } from './ids.js'
import { parseIngestJob } from './parse.js'
import type { IngestJobV1 } from './schema.js'

/** A request to keep a file. Equal requests have equal fingerprints. */
export interface RequestContent {
  /** key domain: `default` or a lower-case UUID */
  readonly domain: string
  /** name of the root */
  readonly root: string
  /** path below the root */
  readonly path: string
  /** bytes bound to the file; empty when there are none */
  readonly context: Uint8Array
}

const LABEL = 'SFV1/request-1\0\0'

/**
 * SHA-256 over a label of 16 bytes and then domain, root, path and context, each as its length (32 bits, big-endian)
 * and its bytes (texts in UTF-8): no two requests have the same encoding. PostgreSQL keeps it with the file; the same
 * id with another fingerprint is a REQUEST_CONFLICT.
 */
export function requestFingerprint({ domain, root, path, context }: RequestContent): Buffer {
  const hash = createHash('sha256').update(LABEL)
  for (const field of [Buffer.from(domain), Buffer.from(root), Buffer.from(path), context]) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(field.length)
    hash.update(length).update(field)
  }
  return hash.digest()
}

/**
 * The file id of a request that came without one: UUIDv5 of the fingerprint in hex, so that a repeat is the same file.
 */
export function contentFileId(content: RequestContent): string {
  return uuidv5(requestFingerprint(content).toString('hex'), CONTENT_ID_NAMESPACE)
}

/** A job's request, with its context decoded. */
export function requestOf(job: IngestJobV1): RequestContent {
  return { domain: job.domain, root: job.source.root, path: job.source.path, context: decodeContext(job.context) }
}

/** The fingerprint of a job's request. */
export function fingerprintOf(job: IngestJobV1): Buffer {
  return requestFingerprint(requestOf(job))
}

/** A valid job for a request; throws CodedError PAYLOAD_INVALID. Without `fileId` the id is made from the content. */
export function ingestJobFor(
  request: RequestContent & { readonly fileId?: string; readonly generation?: number },
): IngestJobV1 {
  return parseIngestJob({
    v: 1,
    fileId: request.fileId ?? contentFileId(request),
    domain: request.domain,
    source: { root: request.root, path: request.path },
    ...(request.context.length === 0 ? {} : { context: Buffer.from(request.context).toString('base64url') }),
    generation: request.generation ?? 1,
  })
}

export function decodeContext(context: string | undefined): Buffer {
  return Buffer.from(context ?? '', 'base64url')
}

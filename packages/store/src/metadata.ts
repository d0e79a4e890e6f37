/**
 * The user metadata of a sealed object. It says whose object this is to somebody who has nothing else; it is not
 * authenticated, and anybody who may write to the bucket can change it. The sealed header decides.
 */
import type { ObjectMetadata } from './types.js'

export const CONTEXT = 'sealfleet-context'
export const ATTEMPT = 'sealfleet-attempt'
export const FILE = 'sealfleet-file'

export interface ObjectIdentity {
  /** UUIDs, lower case. */
  readonly fileId: string
  readonly attemptId: string
  /** 0 to 1,024 bytes that the caller bound to the file. */
  readonly context: Uint8Array
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const BASE64URL = /^[A-Za-z0-9_-]*$/
const MAX_CONTEXT = 1024

/** Throws a RangeError for what can't be a file, an attempt or a context. */
export function objectMetadata({ fileId, attemptId, context }: ObjectIdentity): ObjectMetadata {
  if (!UUID.test(fileId)) throw new RangeError('the file id is not a lower-case UUID')
  if (!UUID.test(attemptId)) throw new RangeError('the attempt id is not a lower-case UUID')
  if (context.length > MAX_CONTEXT) throw new RangeError(`a context has at most ${MAX_CONTEXT} bytes`)
  const bytes = Buffer.from(context.buffer, context.byteOffset, context.byteLength)
  // An empty value is left out: some stores drop empty headers, some refuse to sign them.
  return { [FILE]: fileId, [ATTEMPT]: attemptId, ...(bytes.length > 0 && { [CONTEXT]: bytes.toString('base64url') }) }
}

/** What the metadata says, each part only when it is well-formed. A missing context is the empty one. */
export function readObjectMetadata(metadata: ObjectMetadata): {
  fileId: string | undefined
  attemptId: string | undefined
  /** undefined: there is one, but it can't have been written by us. */
  context: Buffer | undefined
} {
  const wellFormed = (id: string | undefined) => (id !== undefined && UUID.test(id) ? id : undefined)
  const text = metadata[CONTEXT] ?? ''
  const context = Buffer.from(text, 'base64url')
  const canonical = BASE64URL.test(text) && context.toString('base64url') === text && context.length <= MAX_CONTEXT
  return {
    fileId: wellFormed(metadata[FILE]),
    attemptId: wellFormed(metadata[ATTEMPT]),
    context: canonical ? context : undefined,
  }
}

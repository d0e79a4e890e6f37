/**
 * The user metadata of a sealed object. It identifies the object without any other data. It is not authenticated: every
 * user with write access to the bucket can change it. The sealed header decides.
 */
import type { ObjectMetadata } from './types.js'

export const CONTEXT = 'sealfleet-context'
export const ATTEMPT = 'sealfleet-attempt'
export const FILE = 'sealfleet-file'
export const SOURCE = 'sealfleet-source'

/** A file's source: a root's name and a path below it. */
export interface ObjectSource {
  readonly root: string
  readonly path: string
}

export interface ObjectIdentity {
  /** UUIDs, lower case. */
  readonly fileId: string
  readonly attemptId: string
  /** 0 to 1,024 bytes that the caller bound to the file. */
  readonly context: Uint8Array
  /**
   * Given if the operators want it in the store (docs/decisions/0028); left out when it makes the metadata too long.
   */
  readonly source?: ObjectSource | undefined
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const BASE64URL = /^[A-Za-z0-9_-]*$/
const MAX_CONTEXT = 1024
/**
 * Names and values of all user metadata together, bytes:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
 */
const MAX_METADATA = 2048
const ROOT = /^[a-z0-9-]{1,64}$/

/** Throws a RangeError for values that cannot belong to a file, an attempt or a context. */
export function objectMetadata({ fileId, attemptId, context, source }: ObjectIdentity): ObjectMetadata {
  if (!UUID.test(fileId)) throw new RangeError('the file id is not a lower-case UUID')
  if (!UUID.test(attemptId)) throw new RangeError('the attempt id is not a lower-case UUID')
  if (context.length > MAX_CONTEXT) throw new RangeError(`a context has at most ${MAX_CONTEXT} bytes`)
  const bytes = Buffer.from(context.buffer, context.byteOffset, context.byteLength)
  // An empty value is left out: some stores drop empty headers, some refuse to sign them.
  const metadata = {
    ...{ [FILE]: fileId, [ATTEMPT]: attemptId },
    ...(bytes.length > 0 && { [CONTEXT]: bytes.toString('base64url') }),
  }
  const named = { ...metadata, ...(source !== undefined && { [SOURCE]: sourceText(source) }) }
  return metadataLength(named) <= MAX_METADATA ? named : metadata
}

function metadataLength(metadata: ObjectMetadata): number {
  return Object.entries(metadata).reduce((sum, [name, value]) => sum + name.length + value.length, 0)
}

/** `root:path`, each segment of the path percent-encoded UTF-8: headers carry ASCII. */
function sourceText({ root, path }: ObjectSource): string {
  return `${root}:${path.split('/').map(encodeURIComponent).join('/')}`
}

/**
 * The source that the metadata claims, or why it is not a valid one; undefined if it names none. A user with write
 * access to the bucket may have written it: the result has the form of a source and is no more than a claim.
 */
export function readObjectSource(metadata: ObjectMetadata): ObjectSource | { readonly refused: string } | undefined {
  const text = metadata[SOURCE]
  if (text === undefined) return undefined
  const at = text.indexOf(':')
  const root = text.slice(0, Math.max(0, at))
  const path = decoded(text.slice(at + 1))
  // At most the length that we write, so that the records accept it.
  if (text.length > MAX_METADATA) return { refused: `it is longer than ${MAX_METADATA} bytes` }
  if (at < 0 || path === undefined || sourceText({ root, path }) !== text)
    return { refused: 'it is not of the form of a source' }
  if (!ROOT.test(root)) return { refused: 'it names no root' }
  const plain = !path.includes('\0') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  return plain ? { root, path } : { refused: 'its path is not a plain relative one' }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}

/** The fields of the metadata, each only if it is well-formed. A missing context is the empty one. */
export function readObjectMetadata(metadata: ObjectMetadata): {
  fileId: string | undefined
  attemptId: string | undefined
  /** undefined: there is one, but we cannot have written it. */
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

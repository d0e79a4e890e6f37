/**
 * Computes a store's expected whole-object digests from its answers about the parts: no byte is hashed twice. Source:
 * Amazon S3, "Checking object integrity" (composite checksums), and the ETag that S3 and Ceph give to multipart
 * objects: MD5 over the parts' binary MD5s, `-`, the number of parts.
 */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { ObjectChecksum } from './types.js'

/** Digests from the answer to one part's upload. */
export interface PartDigest {
  readonly etag: string | undefined
  /** Base64 of four bytes. */
  readonly crc32: string | undefined
}

const MD5_ETAG = /^"?([0-9a-f]{32})"?$/

/** The ETag in quotes, or undefined when a part's ETag isn't an MD5 (objects under SSE-KMS, some stores). */
export function etagOfParts(parts: readonly PartDigest[]): string | undefined {
  const hash = createHash('md5')
  for (const { etag } of parts) {
    const md5 = MD5_ETAG.exec(etag ?? '')?.[1]
    if (md5 === undefined) return undefined
    hash.update(md5, 'hex')
  }
  return `"${hash.digest('hex')}-${parts.length}"`
}

/** The composite checksum, or undefined when the store returned none for some part. */
export function checksumOfParts(parts: readonly PartDigest[]): ObjectChecksum | undefined {
  let value = 0
  for (const part of parts) {
    if (part.crc32 === undefined) return undefined
    value = crc32(Buffer.from(part.crc32, 'base64'), value)
  }
  return { algorithm: 'CRC32', value: `${base64Of(value)}-${parts.length}`, type: 'composite' }
}

export function etagOfBytes(bytes: Uint8Array): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`
}

export function checksumOfBytes(bytes: Uint8Array): ObjectChecksum {
  return { algorithm: 'CRC32', value: base64Of(crc32(bytes)), type: 'full-object' }
}

/** The whole object's checksum from an answer; a composite one ends with the number of parts. */
export function checksumIn(answer: { ChecksumCRC32?: string | undefined }): ObjectChecksum | undefined {
  const value = answer.ChecksumCRC32
  if (value === undefined) return undefined
  return { algorithm: 'CRC32', value, type: value.includes('-') ? 'composite' : 'full-object' }
}

function base64Of(value: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes.toString('base64')
}

import { createHash } from 'node:crypto'

/** Namespace of ids that are other texts than UUIDs (docs/reference/job-format.md). */
const NAMESPACE = Buffer.from('3f0f4f6e7d0c4a579b1c5a4c8f3f9a10', 'hex')

/** A file's id from yours: a UUID stays as it is (in lower case); any other text becomes a UUIDv5 (RFC 9562 §5.5). */
export function fileIdOf(id: string): string {
  const lower = id.toLowerCase()
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(lower)) return lower
  const hash = createHash('sha1').update(NAMESPACE).update(id, 'utf8').digest().subarray(0, 16)
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6)
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = hash.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

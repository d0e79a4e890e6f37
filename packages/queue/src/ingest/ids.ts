import { v5 as uuidv5 } from 'uuid'
import { CodedError } from '@sealfleet/failures'

/**
 * Namespace of the UUIDv5 (RFC 9562 §5.5) that a foreign id becomes: the same foreign id gives the same file id in any
 * language. It never changes.
 * @example Python: uuid.uuid5(uuid.UUID('3f0f4f6e-7d0c-4a57-9b1c-5a4c8f3f9a10'), 'invoice 2026/17')
 */
export const FOREIGN_ID_NAMESPACE = '3f0f4f6e-7d0c-4a57-9b1c-5a4c8f3f9a10'

/**
 * Namespace of ids made from the content of a request; separate, so that no foreign id can name such a file by
 * accident.
 */
export const CONTENT_ID_NAMESPACE = 'b3e7a9d2-58c4-4c1e-8f63-0d9e2a7c6b54'

/** The one text form of a UUID here: lower-case with dashes; of any version, but not nil. */
export const UUID_PATTERN =
  /^(?!00000000-0000-0000-0000-000000000000$)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function isNonNilUuid(text: string): boolean {
  return UUID_PATTERN.test(text)
}

/** The file id of a foreign id: UUIDv5 of its UTF-8 bytes, exactly as given (no trimming, no folding of case). */
export function fileIdFor(foreignId: string): string {
  if (foreignId === '') throw new CodedError('PAYLOAD_INVALID', 'a foreign id may not be empty')
  return uuidv5(foreignId, FOREIGN_ID_NAMESPACE)
}

/**
 * A file id from a user's id: a UUID stays as it is (in lower case), any other text is a foreign id. Throws CodedError
 * PAYLOAD_INVALID for the empty text and for the nil UUID.
 */
export function toFileId(id: string): string {
  const lower = id.toLowerCase()
  if (isNonNilUuid(lower)) return lower
  if (/^[0-]{36}$/.test(lower)) throw new CodedError('PAYLOAD_INVALID', 'the nil UUID is no one’s id')
  return fileIdFor(id)
}

/**
 * Id of the BullMQ job that stores a file: a replay gets a new generation, since BullMQ ignores an id it still holds.
 */
export function ingestJobId(fileId: string, generation: number): string {
  return `f-${fileId}-g${generation}`
}

/** The inverse of `ingestJobId`; undefined for ids of another form. */
export function parseIngestJobId(jobId: string): { readonly fileId: string; readonly generation: number } | undefined {
  const [, fileId, generation] = /^f-([0-9a-f-]{36})-g([1-9]\d{0,9})$/.exec(jobId) ?? []
  return fileId === undefined || !isNonNilUuid(fileId) ? undefined : { fileId, generation: Number(generation) }
}

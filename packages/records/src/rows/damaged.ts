import { RecordsError } from '../db/errors.js'

/**
 * Checks the database's constraints again where a row is read: a dump restored without them, or the owner of the
 * tables, can break each. The error names file and column, but no value.
 */
export function damaged(fileId: string, column: string, what: string): RecordsError {
  return new RecordsError('RECORD_DAMAGED', `the record of file ${fileId} is damaged: ${column} ${what}`, {
    fix: 'put that row back from a backup, or see docs/operate/recover-the-database.md: the object describes itself',
  })
}

/** Bytes of a column that must be there. @throws RecordsError RECORD_DAMAGED */
export function bytesOf(
  value: Uint8Array | null | undefined,
  { fileId, column, length, most }: { fileId: string; column: string; length?: number; most?: number },
): Buffer {
  if (!(value instanceof Uint8Array)) throw damaged(fileId, column, 'has no value')
  if (length !== undefined && value.length !== length)
    throw damaged(fileId, column, `has ${value.length} bytes, not ${length}`)
  if (most !== undefined && value.length > most)
    throw damaged(fileId, column, `has ${value.length} bytes, more than ${most}`)
  return Buffer.from(value)
}

/** A text of a column that must be there. @throws RecordsError RECORD_DAMAGED */
export function textOf(value: string | null | undefined, fileId: string, column: string): string {
  if (typeof value !== 'string' || value === '') throw damaged(fileId, column, 'has no value')
  return value
}

/** A whole number of a column within these bounds. @throws RecordsError RECORD_DAMAGED */
export function numberOf(
  value: number | bigint | null | undefined,
  { fileId, column, from, to = Number.MAX_SAFE_INTEGER }: { fileId: string; column: string; from: number; to?: number },
): number {
  if (value === null || value === undefined) throw damaged(fileId, column, 'has no value')
  if (value < from || value > to) throw damaged(fileId, column, 'is out of its bounds')
  return Number(value)
}

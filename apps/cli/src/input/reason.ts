import { usageError } from '../cli-error.js'

const LONGEST = 2_000

/**
 * A sentence that a person gives for the records (a reason, what becomes of backups), without blanks around it. Its limits are said
 * here, before anything is asked of anybody; the database has the same.
 * @throws USAGE when it is missing, empty, too long, or holds a zero
 */
export function requireReason(
  text: string | undefined,
  o: { readonly option?: string; readonly fix?: string } = {},
): string {
  const { option = '--reason', fix = 'say in a sentence why' } = o
  const trimmed = text?.trim() ?? ''
  if (trimmed === '') throw usageError(`${option} is missing or empty`, fix)
  if (trimmed.length > LONGEST)
    throw usageError(
      `${option} has ${trimmed.length} characters; the maximum is ${LONGEST}`,
      'shorten it, and name the document that holds the rest',
    )
  if (trimmed.includes('\0')) throw usageError(`${option} holds a zero byte`, fix)
  return trimmed
}

/** The same where it may be left out. */
export function requireReasonIfGiven(text: string | undefined): string | undefined {
  return text === undefined ? undefined : requireReason(text)
}

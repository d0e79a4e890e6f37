import { usageError } from '../cli-error.js'

const LONGEST = 2_000

/**
 * A sentence from the user for the records (a reason, what becomes of backups), trimmed. Its limits are checked here,
 * before anything else; the database has the same.
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

/** The same for an optional reason. */
export function requireReasonIfGiven(text: string | undefined): string | undefined {
  return text === undefined ? undefined : requireReason(text)
}

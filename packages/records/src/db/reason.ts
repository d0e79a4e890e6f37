import { RecordsError } from './errors.js'

/** A person's reason, without the characters that the database refuses. @throws RecordsError INVALID */
export function reasonOf(given: string): string {
  const reason = given.replaceAll('\0', '').trim()
  if (reason === '' || reason.length > 2_000) {
    throw new RecordsError('INVALID', 'a reason has 1 to 2,000 characters', { fix: 'say in a sentence why' })
  }
  return reason
}

import { scrubText } from '../scrub.js'
import { oneLine } from './printable.js'

/** Characters of a foreign message that are shown; a longer one is a dump and not a message. */
const MOST = 300

/**
 * A message of a driver, a server or the operating system, safe to repeat in our own sentence: one line without
 * invisible characters or text that looks like a secret, at most 300 characters, no full stop at the end.
 */
export function said(words: string): string {
  const shown = oneLine(scrubText(words.replace(/\s+/g, ' '))).replace(/[\s.]+$/, '')
  return shown.length > MOST ? `${shown.slice(0, MOST)}…` : shown
}

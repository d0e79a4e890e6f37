import { scrub } from '../scrub.js'
import { oneLine } from './printable.js'

/** Characters of another's words that are shown; what is longer is a dump and not a message. */
const MOST = 300

/**
 * What a driver, a server or the operating system said, fit to be repeated in a sentence of ours: one line without anything
 * that can't be seen, nothing of a shape that secrets have, at most 300 characters, no full stop at the end.
 */
export function said(words: string): string {
  const shown = oneLine(scrub(words.replace(/\s+/g, ' '))).replace(/[\s.]+$/, '')
  return shown.length > MOST ? `${shown.slice(0, MOST)}…` : shown
}

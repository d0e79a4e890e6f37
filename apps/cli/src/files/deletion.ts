import type { FileRow } from '@sealfleet/records'
import { humanTime } from '../output/units.js'

const WORDS = { REMOVED: 'removed', EXPIRED: 'deleted past its retention', SHREDDED: 'shredded' } as const

/** What became of a DELETED file, when, by whom. Undefined for any other file, and where no one wrote it down. */
export function deletionText({ deletion }: Pick<FileRow, 'deletion'>): string | undefined {
  if (deletion === null) return undefined
  const { kind, at, by, sweptAt } = deletion
  const rest = sweptAt === null ? '; its object is still to be swept' : ''
  return `${WORDS[kind]} at ${humanTime(at)} by ${by}${rest}`
}

import type { FileRow } from '@sealfleet/records'
import { humanTime } from '../output/units.js'

const WORDS = { REMOVED: 'removed', EXPIRED: 'deleted past its retention', SHREDDED: 'shredded' } as const

/** How a file was DELETED, when, by whom. Undefined for any other file, and when it was not recorded. */
export function deletionText({ deletion }: Pick<FileRow, 'deletion'>): string | undefined {
  if (deletion === null) return undefined
  const { kind, at, by, sweptAt } = deletion
  const rest = sweptAt === null ? '; its object is still to be swept' : ''
  return `${WORDS[kind]} at ${humanTime(at)} by ${by}${rest}`
}

import { domainFromUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { FILE_STATES, type FileState } from '../db/terms.js'
import type { Counts } from './counts.js'

/** Files of each domain by state; domains without files are missing. */
export async function countsByDomain(db: Queryable): Promise<ReadonlyMap<string, Counts>> {
  const rows = await db.read(({ file }) => file.groupBy({ by: ['domainId', 'state'], _count: true }))
  const counts = new Map<string, Record<FileState, number>>()
  for (const { domainId, state, _count: n } of rows) {
    const domain = domainFromUuid(domainId)
    const known = counts.get(domain) ?? noFiles()
    known[state] = n
    counts.set(domain, known)
  }
  return counts
}

export function noFiles(): Record<FileState, number> {
  return Object.fromEntries(FILE_STATES.map((state) => [state, 0])) as Record<FileState, number>
}

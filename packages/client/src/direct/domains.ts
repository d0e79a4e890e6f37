import type { IngestRequest } from '@sealfleet/queue'
import { SealfleetError } from '../sealfleet-error.js'
import type { NewFile } from '../terms.js'
import type { Query } from './database.js'

/** A request whose key domain is given by its id; `problem`: there is no such domain, and it has no id. */
export type Resolved = IngestRequest & { readonly problem?: SealfleetError }

/** Of the all-zero id, which jobs call `default`. */
const DEFAULT = /^0{8}(-0{4}){3}-0{12}$/

/** No id of a domain: what a request gets whose domain is unknown, so that it is refused by itself. */
const NONE = ''

/**
 * Looks up the key domains of some files, by id and by name; one statement, and none where all are `default`. A request
 * of an unknown domain has its own problem: the statement that accepts files would refuse all of them.
 */
export async function withDomainIds(query: Query, files: readonly NewFile[]): Promise<readonly Resolved[]> {
  const wanted = new Set(files.map(({ domain }) => domain ?? 'default'))
  wanted.delete('default')
  const ids = wanted.size === 0 ? new Map<string, string>() : await domainIds(query, [...wanted])
  return files.map(({ id, root, path, context, domain = 'default' }) => {
    const request = { id, root, path, context }
    if (domain === 'default') return request
    const found = ids.get(domain)
    if (found !== undefined) return { ...request, domain: found }
    const problem = new SealfleetError('NOT_FOUND', `there is no key domain ${JSON.stringify(domain.slice(0, 100))}`, {
      fix: 'Use a name or an id that the operators have made (`sealfleet domains list`).',
    })
    return { ...request, domain: NONE, problem }
  })
}

async function domainIds(query: Query, wanted: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const rows = (await query(
    `SELECT w.text AS wanted, d.id::text AS id
     FROM unnest($1::text[]) AS w (text), LATERAL (
       SELECT id FROM key_domains WHERE id::text = lower(w.text) OR name = w.text
       ORDER BY id::text = lower(w.text) DESC LIMIT 1
     ) d`,
    [wanted],
  )) as readonly { readonly wanted: string; readonly id: string }[]
  return new Map(rows.map(({ wanted: text, id }) => [text, DEFAULT.test(id) ? 'default' : id]))
}

import { listDomains } from '@sealfleet/records/fleet'
import type { DomainPolicy, Records } from '@sealfleet/records'
import { missingError } from '../cli-error.js'
import { printable } from '../output/printable.js'

/** Domains that an error names; a fleet may have thousands. */
const MOST_NAMED = 10

/** The key domain that a user named: by id (`default` or a UUID) or by its name. Throws NOT_FOUND (status 4). */
export async function findDomain(records: Records, idOrName: string): Promise<DomainPolicy> {
  const domains = await listDomains(records)
  const wanted = idOrName.toLowerCase()
  const found = domains.find(({ id }) => id === wanted) ?? domains.find(({ name }) => name === idOrName)
  if (found) return found
  const named = domains.slice(0, MOST_NAMED).map(({ id, name }) => (id === name ? id : `${name} (${id})`))
  const more = domains.length > MOST_NAMED ? [`${domains.length - MOST_NAMED} more`] : []
  const known = [...named, ...more].join(', ')
  const fix =
    idOrName === 'default'
      ? 'sealfleet keys init'
      : `see \`sealfleet domains list\`; make one with \`sealfleet domains add NAME\``
  throw missingError(
    'NOT_FOUND',
    `there is no key domain "${printable(idOrName)}"; ${known === '' ? 'none exists yet' : `known: ${known}`}`,
    fix,
  )
}

import { RecordsError } from '../db/errors.js'
import type { CanonicalObject } from '../operators/canonical-json.js'

/** The domain of a file or key in a detail of version 2: an id that never changes, and the name that people know. */
export function domainDetail(domain: { readonly id: string; readonly name: string }): {
  readonly domain: string
  readonly domainName: string
} {
  return { domain: domain.id, domainName: domain.name }
}

/**
 * Checks that a request was signed for this domain, under its present name: another domain may have taken the signed
 * name since. A request of version 1 has the id alone, in its detail or in a key's label, and passes.
 * @throws RecordsError REQUEST_MISMATCH
 */
export function assertSignedDomain(
  request: { readonly id: string; readonly version: number; readonly detail: CanonicalObject },
  { id, name }: { readonly id: string; readonly name: string },
): void {
  if (request.version === 1) return
  const { domain, domainName } = request.detail
  if (domain !== id || typeof domainName !== 'string')
    throw new RecordsError('REQUEST_MISMATCH', `request ${request.id} was not signed for domain ${id}`, {
      fix: 'name the request that was signed for this, or have a new one signed',
    })
  if (domainName === name) return
  const [signed, now] = [JSON.stringify(domainName), JSON.stringify(name)]
  throw new RecordsError(
    'REQUEST_MISMATCH',
    `request ${request.id} was signed for the domain ${signed}, which is named ${now} now (${id})`,
    {
      fix: `find out which domain was meant; then have a new request signed, or give it its name back (sealfleet domains set ${id} --rename NAME)`,
    },
  )
}

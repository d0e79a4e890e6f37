import { toFileId } from '@sealfleet/queue'
import { getFile, type FileWithObject } from '@sealfleet/records/files'
import type { Caller } from '../access.js'
import { Problem } from '../problem.js'
import type { Services } from '../services.js'

/**
 * The file of a path's `{id}`: a UUID, or the text that names it upstream. A file of a domain that is not the token's is
 * answered as one that does not exist: otherwise ids could be tried.
 * @throws Problem NOT_FOUND
 */
export async function findFile({ records }: Services, caller: Caller, given: string): Promise<FileWithObject> {
  const found = isNil(given) ? undefined : await getFile(records, toFileId(given))
  if (found === undefined || !caller.sees(found.file.domain)) throw noFile()
  return found
}

export function noFile(): Problem {
  return new Problem('NOT_FOUND', 'there is no such file', { fix: 'Check the id, and the domains of the token.' })
}

function isNil(id: string): boolean {
  return id === '' || /^[0-]{36}$/.test(id)
}

/**
 * The ids of domains that a list is limited to: the token's, and of those the one that the query names.
 * @throws Problem NOT_FOUND for a domain that does not exist or is not the token's
 */
export async function domainsOf(
  { domains }: Services,
  caller: Caller,
  named: string | undefined,
): Promise<{ readonly domain?: string; readonly domains?: readonly string[] | undefined }> {
  if (named === undefined) return { domains: caller.domains }
  const domain = await domains.idOf(named)
  if (domain === undefined || !caller.sees(domain)) throw noDomain()
  return { domain }
}

export function noDomain(): Problem {
  return new Problem('NOT_FOUND', 'there is no such key domain', {
    fix: 'Check its name, and the domains of the token.',
  })
}

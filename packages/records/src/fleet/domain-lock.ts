import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/**
 * Taken before looking for holds, by transactions that delete files of a domain or destroy its keys. Until the
 * transaction ends no hold is placed on the domain or on a file of it, so a hold is either seen or comes after.
 * Deletions do not wait for each other, nor do files that are accepted or stored wait for them.
 * @throws RecordsError NOT_FOUND
 */
export async function lockDomainForDeletion(tx: Queryable, domain: string): Promise<void> {
  const rows = await tx.query(Prisma.sql`SELECT id FROM key_domains WHERE id = ${domainToUuid(domain)}::uuid FOR SHARE`)
  if (rows.length === 0) throw new RecordsError('NOT_FOUND', `there is no key domain ${domain}`)
}

/**
 * Taken by transactions that place a hold: waits for deletions in progress in the domain, and blocks new ones until the
 * transaction ends.
 * @throws RecordsError NOT_FOUND
 */
export async function lockDomainForHold(tx: Queryable, domain: string): Promise<void> {
  const rows = await tx.query(
    Prisma.sql`SELECT id FROM key_domains WHERE id = ${domainToUuid(domain)}::uuid FOR NO KEY UPDATE`,
  )
  if (rows.length === 0) throw new RecordsError('NOT_FOUND', `there is no key domain ${domain}`)
}

import { RecordsError } from './errors.js'

/** The default domain's id in the database and on the wire. */
const DEFAULT_DOMAIN_UUID = '00000000-0000-0000-0000-000000000000'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** `text` when it is a lower-case UUID. @throws RecordsError INVALID */
export function uuid(text: string, what: string): string {
  if (!UUID.test(text)) throw new RecordsError('INVALID', `${what} is not a lower-case UUID`)
  return text
}

/**
 * `default` or a UUID → the id in the database.
 * @throws RecordsError INVALID, also for the zero UUID, whose only name is `default`
 */
export function domainToUuid(domain: string): string {
  if (domain === 'default') return DEFAULT_DOMAIN_UUID
  if (domain === DEFAULT_DOMAIN_UUID) throw new RecordsError('INVALID', 'the all-zero domain is called `default`')
  return uuid(domain, 'the key domain')
}

export function domainFromUuid(id: string): string {
  return id === DEFAULT_DOMAIN_UUID ? 'default' : id
}

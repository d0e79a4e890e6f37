import type { Records } from '@sealfleet/records'
import { checkToken, type TokenRow, type TokenScope } from '@sealfleet/records/tokens'
import { Problem } from './problem.js'

/**
 * The one place that decides who may do what: the token of a request, its scope for a route, its domains for a file.
 */
export class Caller {
  readonly token: TokenRow

  constructor(token: TokenRow) {
    this.token = token
  }

  /** In the audit log and the records. */
  get actor(): string {
    return `api:${this.token.id}`
  }

  /** Ids of domains that lists are limited to; undefined: none is left out. */
  get domains(): readonly string[] | undefined {
    return this.token.domains ?? undefined
  }

  /** @param domain an id; null: a record that names no domain, which only a token of every domain sees */
  sees(domain: string | null): boolean {
    const { domains } = this.token
    return domains === null || (domain !== null && domains.includes(domain))
  }

  /** @throws Problem FORBIDDEN */
  require(scope: TokenScope): void {
    if (!this.token.scopes.includes(scope)) throw new Problem('FORBIDDEN', `the scope \`${scope}\` is missing`)
  }
}

const REALM = 'realm="sealfleet"'
const REFUSALS = { unknown: 'UNAUTHENTICATED', expired: 'TOKEN_EXPIRED', revoked: 'TOKEN_REVOKED' } as const

/** @param header `Authorization` as it came @throws Problem UNAUTHENTICATED, TOKEN_EXPIRED, TOKEN_REVOKED; RecordsError */
export async function authenticate(records: Records, header: string | undefined): Promise<Caller> {
  const challenge = { headers: { 'www-authenticate': `Bearer ${REALM}` } }
  const [, text] = /^Bearer +(\S{1,200})$/i.exec(header ?? '') ?? []
  if (text === undefined) throw new Problem('UNAUTHENTICATED', undefined, challenge)
  const checked = await checkToken(records, text)
  if ('refused' in checked) throw new Problem(REFUSALS[checked.refused], undefined, challenge)
  return new Caller(checked.token)
}

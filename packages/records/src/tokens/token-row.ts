import { domainFromUuid } from '../db/ids.js'
import type { ApiToken } from '../generated/client.js'

/** What a token may be used for. A constraint of the table has the same list. */
export const TOKEN_SCOPES = ['enqueue', 'upload', 'read', 'verify', 'remove', 'on-call'] as const
export type TokenScope = (typeof TOKEN_SCOPES)[number]

/** A token without anything that could be sent in its place. */
export interface TokenRow extends Readonly<Omit<ApiToken, 'secretHash' | 'scopes' | 'allDomains' | 'domainIds'>> {
  readonly scopes: readonly TokenScope[]
  /** Ids of domains (`default` or UUIDs) whose files it may touch; null: every domain, future ones included. */
  readonly domains: readonly string[] | null
}

/** @param raw as Prisma reads it */
export function tokenRow(raw: Readonly<Omit<ApiToken, 'secretHash'>>): TokenRow {
  const { id, name, scopes, allDomains, domainIds, createdBy, createdAt, expiresAt, revokedAt, revokedBy, lastUsedAt } =
    raw
  return {
    ...{ id, name, scopes: scopes as TokenScope[], domains: allDomains ? null : domainIds.map(domainFromUuid) },
    ...{ createdBy, createdAt, expiresAt, revokedAt, revokedBy, lastUsedAt },
  }
}

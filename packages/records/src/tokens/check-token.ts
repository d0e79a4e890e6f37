import { timingSafeEqual } from 'node:crypto'
import type { Queryable } from '../db/records.js'
import { Prisma, type ApiToken } from '../generated/client.js'
import { tokenRow, type TokenRow } from './token-row.js'
import { parseTokenText, secretHash, type Credential } from './token-text.js'

/** How far `last used` may lag behind, in seconds: a busy token must not cost a write a request. */
const USE_SECONDS = 60

/** Why a text opens nothing. Only the holder of the right secret learns that a token has expired or was revoked. */
export type TokenRefusal = 'unknown' | 'expired' | 'revoked'

export type CheckedToken = { readonly token: TokenRow } | { readonly refused: TokenRefusal }

/**
 * Finds the token of a text and checks it: unknown, malformed and wrong ones are one refusal, and take one hash and one
 * comparison of constant time each. Whether it has expired is decided by the database's clock. @throws RecordsError
 */
export async function checkToken(db: Queryable, text: string): Promise<CheckedToken> {
  const given = parseTokenText(text) ?? NO_CREDENTIAL
  const [row] = await db.query<RawToken>(Prisma.sql`
    SELECT id::text AS id, name, secret_hash AS "secretHash", scopes, all_domains AS "allDomains",
      domain_ids::text[] AS "domainIds", created_by AS "createdBy", created_at AS "createdAt", expires_at AS "expiresAt",
      revoked_at AS "revokedAt", revoked_by AS "revokedBy", last_used_at AS "lastUsedAt",
      expires_at <= clock_timestamp() AS expired,
      coalesce(last_used_at, created_at - interval '1 day') < clock_timestamp() - make_interval(secs => ${USE_SECONDS}::double precision)
        AS "useDue"
    FROM api_tokens WHERE id = ${given.id}::uuid`)
  const right = timingSafeEqual(secretHash(given.secret), row?.secretHash ?? NO_HASH)
  if (row === undefined || !right) return { refused: 'unknown' }
  if (row.revokedAt !== null) return { refused: 'revoked' }
  if (row.expired) return { refused: 'expired' }
  if (row.useDue) await noteUse(db, row.id)
  return { token: tokenRow(row) }
}

interface RawToken extends Readonly<ApiToken> {
  readonly expired: boolean
  readonly useDue: boolean
}

/** Of requests at once one writes; a token that was revoked meanwhile stays as it is. */
async function noteUse(db: Queryable, id: string): Promise<void> {
  await db.query(Prisma.sql`
    UPDATE api_tokens SET last_used_at = clock_timestamp()
    WHERE id = ${id}::uuid AND revoked_at IS NULL
      AND coalesce(last_used_at, created_at - interval '1 day') < clock_timestamp() - make_interval(secs => ${USE_SECONDS}::double precision)
    RETURNING id::text`)
}

/** What is looked up for a text that is no token: no row has this id. */
const NO_CREDENTIAL: Credential = { id: '00000000-0000-0000-0000-000000000000', secret: Buffer.alloc(32) }
/** No known text has this hash. */
const NO_HASH = Buffer.alloc(32)

import { randomBytes, randomUUID } from 'node:crypto'
import { appendAudit } from '../audit/append-audit.js'
import { RecordsError } from '../db/errors.js'
import { domainToUuid } from '../db/ids.js'
import type { Queryable, Records } from '../db/records.js'
import { Prisma } from '../generated/client.js'
import { getToken } from './get-token.js'
import { TOKEN_SCOPES, type TokenRow, type TokenScope } from './token-row.js'
import { SECRET_BYTES, secretHash, tokenText } from './token-text.js'

/** Ten years: beyond that a token is one that no one will ever exchange. */
export const LONGEST_TOKEN_SECONDS = 3_650 * 86_400

export interface NewToken {
  /** 1 to 100 characters; unique among tokens that were not revoked. */
  readonly name: string
  /** At least one. */
  readonly scopes: readonly TokenScope[]
  /** Ids of existing domains, at least one; null: every domain. */
  readonly domains: readonly string[] | null
  /** From now by the database's clock; 60 seconds to ten years. */
  readonly expiresSeconds: number
  readonly createdBy: string
}

export interface CreatedToken {
  readonly token: TokenRow
  /** What its holder sends. It can be read from nowhere afterwards. */
  readonly text: string
}

/**
 * Makes a token with a fresh secret, with its row in the audit log, in one transaction.
 * @throws RecordsError INVALID, CONFLICT (the name is in use), NOT_FOUND (a domain)
 */
export async function createToken(records: Records, input: NewToken): Promise<CreatedToken> {
  const { name, expiresSeconds, createdBy } = input
  if (!/^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,99}$/u.test(name) || isUuid(name))
    throw new RecordsError('INVALID', 'a token’s name is of letters, digits, spaces and . _ @ -, and is no UUID')
  if (!Number.isInteger(expiresSeconds) || expiresSeconds < 60 || expiresSeconds > LONGEST_TOKEN_SECONDS)
    throw new RecordsError('INVALID', 'a token is valid for a minute at least and ten years at most')
  const scopes = TOKEN_SCOPES.filter((scope) => input.scopes.includes(scope))
  if (scopes.length === 0) throw new RecordsError('INVALID', 'a token needs a scope')
  const domains = input.domains === null ? [] : [...new Set(input.domains)].map(domainToUuid)
  if (input.domains?.length === 0) throw new RecordsError('INVALID', 'a token is for one domain at least, or for all')
  const id = randomUUID()
  const secret = randomBytes(SECRET_BYTES)
  const token = await records.transaction(async (tx) => {
    await assertFree(tx, name)
    await assertDomains(tx, domains)
    await tx.query(Prisma.sql`
      INSERT INTO api_tokens (id, name, secret_hash, scopes, all_domains, domain_ids, created_by, created_at, expires_at)
      VALUES (${id}::uuid, ${name}, ${secretHash(secret)}::bytea, ${scopes}::text[], ${input.domains === null},
        ${domains}::uuid[], ${createdBy}, clock_timestamp(),
        clock_timestamp() + make_interval(secs => ${expiresSeconds}::double precision))
      RETURNING id::text`)
    const made = await getToken(tx, id)
    if (made === undefined) throw new TypeError('an INSERT leaves its row')
    const detail = { name, scopes, domains: made.domains, expiresAt: made.expiresAt.toISOString() }
    await appendAudit(tx, { actor: createdBy, action: 'tokens.create', subjectKind: 'token', subjectId: id, detail })
    return made
  })
  return { token, text: tokenText({ id, secret }) }
}

async function assertFree(tx: Queryable, name: string): Promise<void> {
  const where = { name, revokedAt: null }
  const taken = await tx.read(({ apiToken }) => apiToken.findFirst({ where, select: { id: true } }))
  if (taken !== null)
    throw new RecordsError('CONFLICT', `there is a token named ${name}`, {
      fix: 'give the new one another name (`NAME-2`), hand it out, then revoke the old one',
    })
}

async function assertDomains(tx: Queryable, domains: readonly string[]): Promise<void> {
  const where = { id: { in: [...domains] } }
  const found = await tx.read(({ keyDomain }) => keyDomain.count({ where }))
  if (found !== domains.length) throw new RecordsError('NOT_FOUND', 'a key domain of the token does not exist')
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
}

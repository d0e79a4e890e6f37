import type { Queryable } from '../db/records.js'
import { tokenRow, type TokenRow } from './token-row.js'

const OMIT = { secretHash: true } as const

/** By its id, or by its name among tokens that were not revoked. */
export async function getToken(db: Queryable, idOrName: string): Promise<TokenRow | undefined> {
  const id = idOrName.toLowerCase()
  const where = UUID.test(id) ? { id } : { name: idOrName, revokedAt: null }
  const row = await db.read(({ apiToken }) => apiToken.findFirst({ where, omit: OMIT }))
  return row === null ? undefined : tokenRow(row)
}

/** By name, then oldest first; revoked ones are left out unless asked for, and come last. */
export async function listTokens(
  db: Queryable,
  o: { readonly revoked?: boolean | undefined } = {},
): Promise<TokenRow[]> {
  const where = o.revoked === true ? {} : { revokedAt: null }
  const orderBy = [{ name: 'asc' }, { createdAt: 'asc' }, { id: 'asc' }] as const
  const rows = await db.read(({ apiToken }) => apiToken.findMany({ where, omit: OMIT, orderBy: [...orderBy] }))
  const tokens = rows.map(tokenRow)
  return [
    ...tokens.filter(({ revokedAt }) => revokedAt === null),
    ...tokens.filter(({ revokedAt }) => revokedAt !== null),
  ]
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

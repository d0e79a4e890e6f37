import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { KeyState } from '../db/terms.js'

/** Use counts of one version of a domain's KEK. */
export interface KekWraps {
  readonly keyId: string
  readonly version: number
  readonly state: KeyState
  /** Attempts whose nonces it wraps now. */
  readonly wrapped: number
  /**
   * Attempts it wrapped nonces for, including those shredded since: the least number of its uses. Tries that were never
   * recorded, and attempts that another version took over, are not included.
   */
  readonly uses: number
}

/** Every version of a domain's KEK with its use counts, the oldest first. */
export async function kekWraps(db: Queryable, domain: string): Promise<KekWraps[]> {
  const rows = await db.query<Omit<KekWraps, 'wrapped' | 'uses'> & { wrapped: bigint; uses: bigint }>(Prisma.sql`
    SELECT k.id AS "keyId", k.version, k.state::text AS state, count(a.wrapped_nonces) AS wrapped, count(a.id) AS uses
    FROM master_keys k LEFT JOIN attempts a ON a.kek_key_id = k.id
    WHERE k.domain_id = ${domainToUuid(domain)}::uuid AND k.role = 'KEK'
    GROUP BY k.id ORDER BY k.version`)
  return rows.map((row) => ({ ...row, wrapped: Number(row.wrapped), uses: Number(row.uses) }))
}

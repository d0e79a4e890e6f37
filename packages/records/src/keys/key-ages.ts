import type { Role, Suite } from '@sealfleet/format'
import { Prisma } from '../generated/client.js'
import { domainFromUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** The age of an active key, by the database's clock, and whether its domain has a rotation due. */
export interface KeyAge {
  readonly domain: string
  readonly domainName: string
  readonly role: Role
  readonly suite: Suite
  readonly version: number
  readonly activatedAt: Date
  /** Days, with fractions. */
  readonly ageDays: number
  /** When a rotation is due; null: never. */
  readonly dueAt: Date | null
  readonly due: boolean
}

/**
 * The active enc, sig and kek keys of every domain, by domain name and role. A rotation is due when an enc or sig key
 * is as old as its domain's rotation period; a day has 24 hours. A kek is never due: it is rotated for other reasons.
 */
export async function keyAges(db: Queryable): Promise<KeyAge[]> {
  const rows = await db.query<Omit<KeyAge, 'role'> & { readonly role: string }>(Prisma.sql`
    SELECT d.id::text AS domain, d.name AS "domainName", lower(k.role::text) AS role, k.suite, k.version,
      k.activated_at AS "activatedAt", (extract(epoch FROM clock_timestamp() - k.activated_at) / 86400)::float8 AS "ageDays",
      p.due_at AS "dueAt", coalesce(p.due_at <= clock_timestamp(), false) AS due
    FROM master_keys k JOIN key_domains d ON d.id = k.domain_id
      CROSS JOIN LATERAL (SELECT CASE WHEN k.role IN ('ENC', 'SIG')
        THEN k.activated_at + make_interval(hours => d.rotation_days * 24) END AS due_at) p
    WHERE k.state = 'ACTIVE' AND k.role IN ('ENC', 'SIG', 'KEK')
    ORDER BY d.name, k.role`)
  return rows.map((row) => ({ ...row, domain: domainFromUuid(row.domain), role: row.role as Role }))
}

import { Prisma } from '../generated/client.js'
import { domainFromUuid, domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { FileSource } from '../db/terms.js'

const HELD = Prisma.raw(`EXISTS (SELECT FROM holds h WHERE h.domain_id = f.domain_id AND h.released_at IS NULL
  AND (h.file_id IS NULL OR h.file_id = f.id))`)

/**
 * Whether file `f` of domain `d` is stored and past its domain's retention; a day has 24 hours. Uses now(), which can
 * be compared in an index, unlike clock_timestamp(): at worst a file is due a moment later.
 */
export function pastRetention(which: 'unheld' | 'any'): Prisma.Sql {
  const unheld = which === 'unheld' ? Prisma.sql`AND NOT ${HELD}` : Prisma.empty
  return Prisma.sql`f.state = 'STORED' AND d.retention_days IS NOT NULL
    AND f.stored_at <= now() - make_interval(hours => d.retention_days * 24) ${unheld}`
}

/** Files of one domain that are past its retention. Counts of files, and the bytes of their objects. */
export interface PastRetention {
  readonly domain: string
  readonly name: string
  readonly retentionDays: number
  readonly due: number
  readonly dueBytes: number
  /** Past retention, and held. */
  readonly held: number
  readonly heldBytes: number
}

/** For every domain with a retention, by name. */
export async function countPastRetention(db: Queryable, domain?: string): Promise<PastRetention[]> {
  const domainId = domain === undefined ? null : domainToUuid(domain)
  const rows = await db.query<
    Omit<PastRetention, 'dueBytes' | 'heldBytes'> & { readonly dueBytes: bigint; readonly heldBytes: bigint }
  >(Prisma.sql`
    SELECT d.id::text AS domain, d.name, d.retention_days AS "retentionDays",
      count(p.id) FILTER (WHERE NOT p.held)::float8 AS due, count(p.id) FILTER (WHERE p.held)::float8 AS held,
      coalesce(sum(p.bytes) FILTER (WHERE NOT p.held), 0)::bigint AS "dueBytes",
      coalesce(sum(p.bytes) FILTER (WHERE p.held), 0)::bigint AS "heldBytes"
    FROM key_domains d LEFT JOIN LATERAL (
      SELECT f.id, a.object_length AS bytes, ${HELD} AS held
      FROM files f JOIN attempts a ON a.id = f.committed_attempt_id
      WHERE f.domain_id = d.id AND ${pastRetention('any')}) p ON true
    WHERE d.retention_days IS NOT NULL AND (${domainId}::uuid IS NULL OR d.id = ${domainId}::uuid)
    GROUP BY d.id ORDER BY d.name`)
  return rows.map((row) => ({
    ...row,
    domain: domainFromUuid(row.domain),
    dueBytes: Number(row.dueBytes),
    heldBytes: Number(row.heldBytes),
  }))
}

export interface ExpiredFile {
  readonly fileId: string
  readonly source: FileSource
  readonly storedAt: Date
  /** When its retention ended. */
  readonly expiredAt: Date
  readonly bytes: number
  readonly held: boolean
}

/** Files of one domain past its retention, held ones included, the longest stored first. */
export async function listPastRetention(
  db: Queryable,
  page: { readonly domain: string; readonly limit: number; readonly after?: ExpiredFile | undefined },
): Promise<ExpiredFile[]> {
  const after =
    page.after === undefined
      ? Prisma.empty
      : Prisma.sql`AND (f.stored_at, f.id) > (${page.after.storedAt}::timestamptz, ${uuid(page.after.fileId, 'the file id')}::uuid)`
  const rows = await db.query<
    Omit<ExpiredFile, 'source' | 'bytes'> & { readonly root: string; readonly path: string; readonly bytes: bigint }
  >(Prisma.sql`
    SELECT f.id::text AS "fileId", f.source_root AS root, f.source_path AS path, f.stored_at AS "storedAt",
      f.stored_at + make_interval(hours => d.retention_days * 24) AS "expiredAt", a.object_length AS bytes, ${HELD} AS held
    FROM files f JOIN key_domains d ON d.id = f.domain_id JOIN attempts a ON a.id = f.committed_attempt_id
    WHERE f.domain_id = ${domainToUuid(page.domain)}::uuid AND ${pastRetention('any')} ${after}
    ORDER BY f.stored_at, f.id LIMIT ${page.limit}::int`)
  return rows.map(({ root, path, bytes, ...rest }) => ({ ...rest, source: { root, path }, bytes: Number(bytes) }))
}

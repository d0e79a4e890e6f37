import { batchHash, FIRST_PREVIOUS, rowsDigest, type ChainRow } from './audit-canonical.js'
import { RecordsError } from '../db/errors.js'
import { Prisma, type AuditBatch } from '../generated/client.js'
import type { Queryable, Records } from '../db/records.js'

export interface AuditBatchRow extends Readonly<Omit<AuditBatch, 'rowsDigest' | 'previous' | 'hash'>> {
  readonly rowsDigest: Buffer
  readonly previous: Buffer
  readonly hash: Buffer
}

export const CHAIN_COLUMNS = Prisma.raw(
  `l.id::text AS id, l.at, l.actor, l.action, l.subject_kind AS "subjectKind", l.subject_id AS "subjectId",
   l.detail::text AS detail, l.xact::text AS xact`,
)

const BATCH_COLUMNS = Prisma.raw(
  `b.no, b.rows, b.rows_digest AS "rowsDigest", b.previous, b.hash, b.sealed_at AS "sealedAt"`,
)

const UNSEALED = Prisma.raw(`NOT EXISTS (SELECT 1 FROM audit_batch_rows r WHERE r.audit_id = l.id)`)

/** The batch that the next one builds on; undefined before the first. */
export async function lastAuditBatch(db: Queryable): Promise<AuditBatchRow | undefined> {
  const row = await db.read(({ auditBatch }) => auditBatch.findFirst({ orderBy: { no: 'desc' } }))
  return row === null ? undefined : batchRow(row)
}

/** Batches in the order of their numbers, after a given one. */
export async function listAuditBatches(
  db: Queryable,
  page: { readonly after: bigint; readonly limit: number },
): Promise<AuditBatchRow[]> {
  const query = {
    where: { no: { gt: page.after } },
    orderBy: { no: 'asc' },
    take: page.limit,
  } satisfies Prisma.AuditBatchFindManyArgs
  return (await db.read(({ auditBatch }) => auditBatch.findMany(query))).map(batchRow)
}

/**
 * Rows in no batch that no transaction can add to any more, at most `limit` of them: rows of transactions that had
 * ended before the oldest one in progress. They are taken in the order of their transactions. So all rows before the
 * last batch's newest transaction are known to be sealed and are not read again, however large the log is. Transaction
 * numbers restart when a dump is restored into another cluster: a number in the future is an old one. Rows with such
 * numbers are sealed first: while the last batch holds no others, there is no horizon and the whole log is read;
 * afterwards they are never read again.
 */
function unsealedRows(db: Queryable, last: bigint, limit: number): Promise<ChainRow[]> {
  return db.query<ChainRow>(Prisma.sql`
    ${horizonAfter(Prisma.sql`${last}::bigint`)}
    , settled AS (
      (SELECT l.*, 1 AS turn FROM audit_log l
       WHERE l.xact >= (SELECT xact FROM horizon) AND l.xact < (SELECT oldest FROM now) AND ${UNSEALED}
       ORDER BY l.xact, l.id LIMIT ${limit}::int)
      UNION ALL
      (SELECT l.*, 0 FROM audit_log l
       WHERE (SELECT xact FROM horizon) = 0 AND l.xact >= (SELECT next FROM now) AND ${UNSEALED}
       ORDER BY l.xact, l.id LIMIT ${limit}::int)
    )
    SELECT ${CHAIN_COLUMNS} FROM settled l ORDER BY l.turn, l.xact, l.id LIMIT ${limit}::int`)
}

function horizonAfter(last: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    WITH now AS MATERIALIZED (
      SELECT pg_snapshot_xmin(s)::text::bigint AS oldest, pg_snapshot_xmax(s)::text::bigint AS next
      FROM pg_current_snapshot() s
    ), horizon AS MATERIALIZED (
      SELECT coalesce(max(l.xact) FILTER (WHERE l.xact < (SELECT next FROM now)), 0) AS xact
      FROM audit_batch_rows r JOIN audit_log l ON l.id = r.audit_id WHERE r.batch_no = ${last}
    )`
}

/**
 * Rows that wait for their batch, read as cheaply as for sealing: their number, and the age of the oldest in seconds.
 */
export async function auditBacklog(db: Queryable): Promise<Unsealed> {
  const [row] = await db.query<{ rows: bigint; oldestSeconds: number | null }>(Prisma.sql`
    ${horizonAfter(Prisma.sql`(SELECT max(no) FROM audit_batches)`)}
    SELECT count(*) AS rows, extract(epoch FROM clock_timestamp() - min(l.at))::float8 AS "oldestSeconds"
    FROM audit_log l WHERE l.xact >= (SELECT xact FROM horizon)
      AND l.xact < (SELECT CASE h.xact WHEN 0 THEN 9223372036854775807 ELSE n.next END FROM horizon h, now n) AND ${UNSEALED}`)
  return { rows: Number(row?.rows ?? 0), oldestSeconds: row?.oldestSeconds ?? null }
}

export interface Unsealed {
  readonly rows: number
  /** Null if none waits. */
  readonly oldestSeconds: number | null
}

/**
 * Seals one batch of the audit log, at most `limit` rows of it. Of two concurrent processes one wins; undefined: no
 * rows to seal, or the other was faster.
 * @throws RecordsError
 */
export async function sealAuditBatch(records: Records, limit = 2_000): Promise<AuditBatchRow | undefined> {
  try {
    return await records.transaction(async (tx) => {
      const last = await lastAuditBatch(tx)
      const rows = await unsealedRows(tx, last?.no ?? 0n, limit)
      if (rows.length === 0) return undefined
      rows.sort((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1))
      const no = (last?.no ?? 0n) + 1n
      const previous = last?.hash ?? FIRST_PREVIOUS
      const digest = rowsDigest(rows)
      const hash = batchHash({ no, previous, rows: rows.length, rowsDigest: digest })
      const [made] = await tx.query<AuditBatch>(Prisma.sql`
        INSERT INTO audit_batches AS b (no, rows, rows_digest, previous, hash)
        VALUES (${no}::bigint, ${rows.length}::int, ${digest}, ${previous}, ${hash})
        RETURNING ${BATCH_COLUMNS}`)
      const ids = rows.map(({ id }) => BigInt(id))
      await tx.query(Prisma.sql`
        INSERT INTO audit_batch_rows (audit_id, batch_no) SELECT id, ${no}::bigint FROM unnest(${ids}::bigint[]) AS id`)
      return made === undefined ? undefined : batchRow(made)
    })
  } catch (error) {
    if (error instanceof RecordsError && error.code === 'CONFLICT') return undefined
    throw error
  }
}

/** The same for the whole log, wherever a row may have been inserted: for an auditor, since it reads all of it. */
export async function unsealedAudit(db: Queryable): Promise<Unsealed> {
  const [row] = await db.query<{ rows: bigint; oldestSeconds: number | null }>(Prisma.sql`
    SELECT count(*) AS rows, extract(epoch FROM clock_timestamp() - min(l.at))::float8 AS "oldestSeconds"
    FROM audit_log l WHERE NOT EXISTS (SELECT 1 FROM audit_batch_rows r WHERE r.audit_id = l.id)`)
  return { rows: Number(row?.rows ?? 0), oldestSeconds: row?.oldestSeconds ?? null }
}

/** Rows in batches up to the given one. */
export async function sealedRowCount(db: Queryable, batchNo: bigint): Promise<number> {
  const counted = await db.read(({ auditBatch }) =>
    auditBatch.aggregate({ where: { no: { lte: batchNo } }, _sum: { rows: true } }),
  )
  return counted._sum.rows ?? 0
}

function batchRow(raw: AuditBatch): AuditBatchRow {
  const { rowsDigest: digest, previous, hash } = raw
  return { ...raw, rowsDigest: Buffer.from(digest), previous: Buffer.from(previous), hash: Buffer.from(hash) }
}

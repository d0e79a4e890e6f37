import { Prisma, type AuditCheckpoint } from '../generated/client.js'
import type { Queryable } from '../db/records.js'

export interface CheckpointRow extends Readonly<Omit<AuditCheckpoint, 'body' | 'mac'>> {
  /** Canonical JSON; the MAC covers it. */
  readonly body: Buffer
  /** 32 bytes. */
  readonly mac: Buffer
}

const COLUMNS = Prisma.raw(
  `no, batch_no AS "batchNo", body, audit_key_version AS "auditKeyVersion", mac, created_at AS "createdAt",
   store_key AS "storeKey", stored_at AS "storedAt"`,
)

/** @throws RecordsError CONFLICT when another process made that number */
export async function addCheckpoint(
  db: Queryable,
  row: Omit<CheckpointRow, 'createdAt' | 'storedAt'>,
): Promise<CheckpointRow> {
  const [made] = await db.query<AuditCheckpoint>(Prisma.sql`
    INSERT INTO audit_checkpoints (no, batch_no, body, audit_key_version, mac, store_key)
    VALUES (${row.no}::int, ${row.batchNo}::bigint, ${row.body}, ${row.auditKeyVersion}::int, ${row.mac}, ${row.storeKey})
    RETURNING ${COLUMNS}`)
  if (made === undefined) throw new TypeError('an INSERT returns its row')
  return checkpointRow(made)
}

/** Records that the copy has been seen in the store. */
export async function markCheckpointStored(db: Queryable, no: number): Promise<void> {
  await db.query(Prisma.sql`
    UPDATE audit_checkpoints SET stored_at = clock_timestamp() WHERE no = ${no}::int AND stored_at IS NULL RETURNING no`)
}

export async function lastCheckpoint(db: Queryable): Promise<CheckpointRow | undefined> {
  const row = await db.read(({ auditCheckpoint }) => auditCheckpoint.findFirst({ orderBy: { no: 'desc' } }))
  return row === null ? undefined : checkpointRow(row)
}

/**
 * In the order of their numbers, after a given one; with `unstored`, only those whose copy has not been seen in the
 * store.
 */
export async function listCheckpoints(
  db: Queryable,
  page: { readonly after: number; readonly limit: number; readonly unstored?: boolean },
): Promise<CheckpointRow[]> {
  const query = {
    where: { no: { gt: page.after }, ...(page.unstored === true && { storedAt: null }) },
    orderBy: { no: 'asc' },
    take: page.limit,
  } satisfies Prisma.AuditCheckpointFindManyArgs
  return (await db.read(({ auditCheckpoint }) => auditCheckpoint.findMany(query))).map(checkpointRow)
}

/** The driver returns bytes as Uint8Array. */
function checkpointRow(raw: AuditCheckpoint): CheckpointRow {
  return { ...raw, body: Buffer.from(raw.body), mac: Buffer.from(raw.mac) }
}

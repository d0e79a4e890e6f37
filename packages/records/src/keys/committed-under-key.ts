import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { KeyRow } from '../db/terms.js'

export interface CommittedUnderKey {
  /** Of an enc or a sig key. */
  readonly key: Pick<KeyRow, 'id' | 'role'>
  /** The first file id to look at; a random one spreads the sample. */
  readonly from: string
  readonly limit: number
}

/**
 * Some files whose committed object is sealed under this key, by id from `from` on and then from the start; with their
 * buckets.
 */
export async function committedUnderKey(
  db: Queryable,
  { key, from, limit }: CommittedUnderKey,
): Promise<readonly { readonly fileId: string; readonly bucket: string }[]> {
  const column = key.role === 'enc' ? Prisma.sql`enc_key_id` : Prisma.sql`sig_key_id`
  const page = (side: Prisma.Sql) => Prisma.sql`(
    SELECT file_id, bucket FROM attempts
    WHERE ${column} = ${uuid(key.id, 'the key id')}::uuid AND state = 'COMMITTED' AND swept_at IS NULL AND shredded_at IS NULL
      AND file_id ${side} ${uuid(from, 'the file id')}::uuid
    ORDER BY file_id, attempt_no LIMIT ${limit}::int)`
  const rows = await db.query<{ fileId: string; bucket: string }>(Prisma.sql`
    SELECT file_id AS "fileId", bucket FROM (${page(Prisma.sql`>=`)} UNION ALL ${page(Prisma.sql`<`)}) found
    LIMIT ${limit}::int`)
  return rows
}

import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

export interface RekeyScope {
  /** STORED files sealed under the version. */
  readonly files: number
  /** Their plaintext. */
  readonly bytes: number
  /** Files that cannot be opened any more: their enc or sig master key is DESTROYED. */
  readonly lost: number
}

/**
 * The files that a rekey from this version would re-encrypt. Reads only the attempts that need the version's keys: the
 * keys are looked up first, so that the planner knows how few there may be.
 */
export async function rekeyScope(db: Queryable, domain: string, version: number): Promise<RekeyScope> {
  const domainId = domainToUuid(domain)
  const where = { domainId, role: { in: ['ENC', 'SIG'] }, version } satisfies Prisma.MasterKeyWhereInput
  const keys = await db.read(({ masterKey }) => masterKey.findMany({ where, select: { id: true } }))
  const ids = keys.map(({ id }) => id)
  const [row] = await db.query<{ files: number; bytes: number; lost: number }>(Prisma.sql`
    SELECT count(*)::float8 AS files, coalesce(sum(a.plaintext_length), 0)::float8 AS bytes,
      (count(*) FILTER (WHERE EXISTS (
        SELECT FROM master_keys d WHERE d.id IN (a.enc_key_id, a.sig_key_id) AND d.state = 'DESTROYED')))::float8 AS lost
    FROM files f JOIN attempts a ON a.file_id = f.id AND a.id = f.committed_attempt_id
    WHERE f.domain_id = ${domainId}::uuid AND f.state = 'STORED'
      AND a.state = 'COMMITTED' AND a.swept_at IS NULL AND a.shredded_at IS NULL
      AND (a.enc_key_id = ANY(${ids}::uuid[]) OR a.sig_key_id = ANY(${ids}::uuid[]))`)
  return row ?? { files: 0, bytes: 0, lost: 0 }
}

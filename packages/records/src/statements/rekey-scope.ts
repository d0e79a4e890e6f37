import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../ids.js'
import type { Queryable } from '../records.js'
import { underVersion } from '../rows/under-version.js'

export interface RekeyScope {
  /** STORED files sealed under the version. */
  readonly files: number
  /** Their plaintext. */
  readonly bytes: number
  /** Those that can not be opened any more: their enc or sig master is DESTROYED. */
  readonly lost: number
}

/** What a rekey from this version would have to seal anew. Reads every stored file of the domain. */
export async function rekeyScope(db: Queryable, domain: string, version: number): Promise<RekeyScope> {
  const domainId = domainToUuid(domain)
  const [row] = await db.query<{ files: number; bytes: number; lost: number }>(Prisma.sql`
    SELECT count(*)::int AS files, coalesce(sum(a.plaintext_length), 0)::float8 AS bytes,
      (count(*) FILTER (WHERE EXISTS (
        SELECT FROM master_keys d WHERE d.id IN (a.enc_key_id, a.sig_key_id) AND d.state = 'DESTROYED')))::int AS lost
    FROM files f JOIN attempts a ON a.id = f.committed_attempt_id
    WHERE f.domain_id = ${domainId}::uuid AND f.state = 'STORED' AND ${underVersion(domainId, version)}`)
  return row ?? { files: 0, bytes: 0, lost: 0 }
}

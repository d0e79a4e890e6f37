import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Records } from '../db/records.js'
import { lockDomainForDeletion } from '../fleet/domain-lock.js'
import { pastRetention } from './past-retention.js'

/**
 * STORED → DELETED for files of one domain that are past its retention and not held, the longest stored first, at most
 * `limit` of them, each with its row in the audit log, in one transaction. Holds and the policy are read under the
 * domain's lock.
 * @returns their ids; fewer than `limit`: no more are due, or another process has the others
 * @throws RecordsError NOT_FOUND
 */
export async function expireFiles(
  records: Records,
  input: { readonly domain: string; readonly limit: number; readonly actor: string },
): Promise<string[]> {
  return records.transaction(async (tx) => {
    await lockDomainForDeletion(tx, input.domain)
    const rows = await tx.query<{ id: string }>(Prisma.sql`
      WITH due AS MATERIALIZED (
        SELECT f.id, d.retention_days FROM files f JOIN key_domains d ON d.id = f.domain_id
        WHERE f.domain_id = ${domainToUuid(input.domain)}::uuid AND ${pastRetention('unheld')}
        ORDER BY f.stored_at, f.id LIMIT ${input.limit}::int
        FOR UPDATE OF f SKIP LOCKED
      ), gone AS (
        UPDATE files f SET state = 'DELETED', deletion = 'EXPIRED', deleted_at = clock_timestamp(), deleted_by = ${input.actor}
        FROM due WHERE f.id = due.id
        RETURNING f.id, f.stored_at, f.committed_attempt_id, due.retention_days
      ), noted AS (
        INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
        SELECT ${input.actor}, 'files.expire', 'file', g.id::text, jsonb_build_object(
          'storedAt', g.stored_at, 'retentionDays', g.retention_days, 'attemptId', g.committed_attempt_id)
        FROM gone g
      )
      SELECT id::text AS id FROM gone`)
    return rows.map(({ id }) => id)
  })
}

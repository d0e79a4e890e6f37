import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { getRekeyRun } from './rekey-runs.js'

/**
 * Gives the FAILED items of a run another full set of tries, and re-opens the run if it was DONE. Call it in a
 * transaction together with the audit row.
 * @returns how many
 * @throws RecordsError NOT_FOUND, BAD_STATE (it was cancelled), CONFLICT (another run of the same version is open)
 */
export async function retryRekeyItems(db: Queryable, runId: string): Promise<number> {
  const run = await getRekeyRun(db, runId)
  if (run.state === 'CANCELLED')
    throw new RecordsError('BAD_STATE', 'that run was cancelled', { fix: 'start another: `npx sealfleet rekey`' })
  const rows = await db.query<{ id: string }>(Prisma.sql`
    WITH again AS (
      UPDATE rekey_items SET state = 'QUEUED', tries = 0, failure_code = NULL, ended_at = NULL, not_before = clock_timestamp(),
        queued_at = NULL
      WHERE run_id = ${run.id}::uuid AND state = 'FAILED' RETURNING id
    ), opened AS (
      UPDATE rekey_runs SET state = 'ACTIVE', finished_at = NULL
      WHERE id = ${run.id}::uuid AND state = 'DONE' AND EXISTS (SELECT FROM again) RETURNING id
    )
    SELECT id FROM again`)
  return rows.length
}

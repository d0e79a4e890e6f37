import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { getRekeyRun, rekeyRun, RUN_COLUMNS, type RawRun, type RekeyRun, type RekeyRunState } from './rekey-runs.js'

export type RekeyChange = 'pause' | 'resume' | 'cancel'

const TO: Readonly<Record<RekeyChange, RekeyRunState>> = { pause: 'PAUSED', resume: 'ACTIVE', cancel: 'CANCELLED' }

/**
 * Pauses, resumes or cancels an open run. Re-encryptions in progress finish; no new ones start. A cancelled run leaves
 * its remaining files unchanged.
 * @returns the resulting run; `changed` is false when it was already in that state
 * @throws RecordsError NOT_FOUND, BAD_STATE (it is over)
 */
export async function changeRekeyRun(
  db: Queryable,
  id: string,
  change: RekeyChange,
): Promise<{ readonly changed: boolean; readonly run: RekeyRun }> {
  const to = TO[change]
  const [row] = await db.query<RawRun>(Prisma.sql`
    UPDATE rekey_runs r SET state = ${to}::rekey_run_state,
      finished_at = CASE WHEN ${to} = 'CANCELLED' THEN clock_timestamp() END
    WHERE r.id = ${uuid(id, 'the run’s id')}::uuid AND r.finished_at IS NULL AND r.state <> ${to}::rekey_run_state
    RETURNING ${RUN_COLUMNS}`)
  if (row !== undefined) return { changed: true, run: rekeyRun(row) }
  const run = await getRekeyRun(db, id)
  if (run.state === to) return { changed: false, run }
  throw new RecordsError('BAD_STATE', `that run is ${run.state}: it cannot be ${PAST[change]}`, {
    fix: 'see `npx sealfleet rekey status`',
  })
}

const PAST: Readonly<Record<RekeyChange, string>> = { pause: 'paused', resume: 'resumed', cancel: 'cancelled' }

import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { activeKeys, listMasterKeys } from '../keys/master-keys.js'
import { rekeyRun, RUN_COLUMNS, type RawRun, type RekeyRun } from './rekey-runs.js'

export interface RekeyRunInput {
  readonly domain: string
  readonly fromVersion: number
}

/**
 * Refuses a rekey that could not end: files are re-encrypted under the active versions, so the version they leave may
 * be active in no role.
 * @throws RecordsError NOT_FOUND (no enc or sig key of that version), BAD_STATE (active, or not in use yet),
 * NO_ACTIVE_KEY
 */
export async function assertRekeyable(db: Queryable, { domain, fromVersion }: RekeyRunInput): Promise<void> {
  const keys = (await listMasterKeys(db, { domain })).filter(({ role }) => role === 'enc' || role === 'sig')
  const own = keys.filter(({ version }) => version === fromVersion)
  if (own.length === 0)
    throw new RecordsError('NOT_FOUND', `domain ${domain} has no enc or sig key of version ${fromVersion}`, {
      fix: 'see `npx sealfleet keys list`',
    })
  const active = own.find(({ state }) => state === 'ACTIVE')
  if (active !== undefined)
    throw new RecordsError(
      'BAD_STATE',
      `version ${fromVersion} of ${active.role} is active: files would stay under it`,
      {
        fix: 'rotate first: `npx sealfleet keys rotate`',
      },
    )
  await activeKeys(db, domain)
}

/**
 * Makes a run, or finds the open one of the same domain and version: two would obstruct each other. A given rate
 * replaces that of the open one. Call it in a transaction together with the audit row.
 * @throws RecordsError as {@link assertRekeyable}
 */
export async function startRekeyRun(
  db: Queryable,
  request: RekeyRunInput & { readonly filesPerSecond?: number | undefined; readonly createdBy: string },
): Promise<{ readonly created: boolean; readonly run: RekeyRun }> {
  await assertRekeyable(db, request)
  const domainId = domainToUuid(request.domain)
  const rate = request.filesPerSecond ?? null
  const [row] = await db.query<RawRun & { readonly created: boolean }>(Prisma.sql`
    INSERT INTO rekey_runs AS r (id, domain_id, from_version, files_per_second, created_by)
    VALUES (${randomUUID()}::uuid, ${domainId}::uuid, ${request.fromVersion}::int, ${rate}::float8, ${request.createdBy})
    ON CONFLICT (domain_id, from_version) WHERE finished_at IS NULL
      DO UPDATE SET files_per_second = coalesce(EXCLUDED.files_per_second, r.files_per_second), state = 'ACTIVE'
    RETURNING ${RUN_COLUMNS}, r.xmax = 0 AS created`)
  if (row === undefined) throw new TypeError('an upsert returns its row')
  const { created, ...raw } = row
  return { created, run: rekeyRun(raw) }
}

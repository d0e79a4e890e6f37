import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainFromUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** A *rekey run* moves the STORED files of a domain from one key version to the active ones, one *item* per file. */
export type RekeyRunState = 'ACTIVE' | 'PAUSED' | 'DONE' | 'CANCELLED'
export type RekeyItemState = 'QUEUED' | 'RUNNING' | 'DONE' | 'SKIPPED' | 'FAILED'

export const REKEY_ITEM_STATES: readonly RekeyItemState[] = ['QUEUED', 'RUNNING', 'DONE', 'SKIPPED', 'FAILED']

export interface RekeyRun {
  readonly id: string
  readonly domain: string
  /** Of the enc or the sig key: a file sealed under either is included. */
  readonly fromVersion: number
  readonly state: RekeyRunState
  /** Null: no limit. */
  readonly filesPerSecond: number | null
  readonly createdBy: string
  readonly createdAt: Date
  /** When the first pass over all files ended; null while items are still being made. */
  readonly seededAt: Date | null
  readonly finishedAt: Date | null
}

export interface RawRun extends Omit<RekeyRun, 'domain'> {
  readonly domainId: string
}

export const RUN_COLUMNS = Prisma.raw(`
  r.id, r.domain_id AS "domainId", r.from_version AS "fromVersion", r.state::text AS state,
  r.files_per_second AS "filesPerSecond", r.created_by AS "createdBy", r.created_at AS "createdAt",
  r.seeded_at AS "seededAt", r.finished_at AS "finishedAt"`)

export function rekeyRun({ domainId, ...raw }: RawRun): RekeyRun {
  return { ...raw, domain: domainFromUuid(domainId) }
}

/** @throws RecordsError NOT_FOUND */
export async function getRekeyRun(db: Queryable, id: string): Promise<RekeyRun> {
  const [row] = await db.query<RawRun>(
    Prisma.sql`SELECT ${RUN_COLUMNS} FROM rekey_runs r WHERE r.id = ${uuid(id, 'the run’s id')}::uuid`,
  )
  if (row === undefined)
    throw new RecordsError('NOT_FOUND', 'there is no such rekey run', { fix: 'see `sealfleet rekey status`' })
  return rekeyRun(row)
}

/** Newest first; at most `limit` (default 100). `open`: only those that are ACTIVE or PAUSED. */
export async function listRekeyRuns(
  db: Queryable,
  options: { readonly open?: boolean; readonly limit?: number } = {},
): Promise<RekeyRun[]> {
  const where = options.open === true ? Prisma.sql`WHERE r.finished_at IS NULL` : Prisma.empty
  const rows = await db.query<RawRun>(Prisma.sql`
    SELECT ${RUN_COLUMNS} FROM rekey_runs r ${where} ORDER BY r.created_at DESC, r.id LIMIT ${options.limit ?? 100}::int`)
  return rows.map(rekeyRun)
}

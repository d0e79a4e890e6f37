import { RecordsError } from '../db/errors.js'
import { Prisma, type RekeyItemState, type RekeyRun as Run, type RekeyRunState } from '../generated/client.js'
import { domainFromUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** A *rekey run* moves the STORED files of a domain from one key version to the active ones, one *item* per file. */
export type { RekeyItemState, RekeyRunState }

export const REKEY_ITEM_STATES: readonly RekeyItemState[] = ['QUEUED', 'RUNNING', 'DONE', 'SKIPPED', 'FAILED']

export interface RekeyRun extends Readonly<Omit<Run, 'domainId' | 'seedCursor'>> {
  readonly domain: string
}

const OMIT = { seedCursor: true } as const

/** As Prisma reads it, and as RUN_COLUMNS name it. */
export type RawRun = Readonly<Omit<Run, keyof typeof OMIT>>

export const RUN_COLUMNS = Prisma.raw(`
  r.id, r.domain_id AS "domainId", r.from_version AS "fromVersion", r.state::text AS state,
  r.files_per_second AS "filesPerSecond", r.created_by AS "createdBy", r.created_at AS "createdAt",
  r.seeded_at AS "seededAt", r.finished_at AS "finishedAt"`)

export function rekeyRun({ domainId, ...raw }: RawRun): RekeyRun {
  return { ...raw, domain: domainFromUuid(domainId) }
}

/** @throws RecordsError NOT_FOUND */
export async function getRekeyRun(db: Queryable, id: string): Promise<RekeyRun> {
  const where = { id: uuid(id, 'the run’s id') }
  const row = await db.read((models) => models.rekeyRun.findUnique({ where, omit: OMIT }))
  if (row === null)
    throw new RecordsError('NOT_FOUND', 'there is no such rekey run', { fix: 'see `sealfleet rekey status`' })
  return rekeyRun(row)
}

/** Newest first; at most `limit` (default 100). `open`: only those that are ACTIVE or PAUSED. */
export async function listRekeyRuns(
  db: Queryable,
  options: { readonly open?: boolean; readonly limit?: number } = {},
): Promise<RekeyRun[]> {
  const query = {
    where: { ...(options.open === true && { finishedAt: null }) },
    omit: OMIT,
    orderBy: [{ createdAt: 'desc' }, { id: 'asc' }],
    take: options.limit ?? 100,
  } satisfies Prisma.RekeyRunFindManyArgs
  const rows = await db.read((models) => models.rekeyRun.findMany(query))
  return rows.map(rekeyRun)
}

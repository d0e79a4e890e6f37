import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainFromUuid, domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { DeadLetterRow, DeadLetterState, FailureRow } from '../db/terms.js'
import { listFailures } from './failures.js'

interface RawLetter extends Omit<DeadLetterRow, 'domain'> {
  readonly domainId: string | null
}

const COLUMNS = Prisma.raw(`
  d.id, d.file_id AS "fileId", d.generation, d.domain_id AS "domainId", d.state::text AS state, d.code, d.class, d.reason,
  d.job_id AS "jobId", d.owner, d.notes, d.created_at AS "createdAt", d.resolved_at AS "resolvedAt",
  d.resolved_by AS "resolvedBy", d.resolution`)

function letter({ domainId, ...raw }: RawLetter): DeadLetterRow {
  return { ...raw, domain: domainId === null ? null : domainFromUuid(domainId) }
}

export interface DeadLetterFilter {
  /** Default OPEN. */
  readonly state?: DeadLetterState | 'any' | undefined
  readonly code?: string | undefined
  readonly class?: string | undefined
  readonly domain?: string | undefined
  readonly fileId?: string | undefined
  /** Created before / at or after. */
  readonly before?: Date | undefined
  readonly since?: Date | undefined
  /** 1 to 1,000; default 100. */
  readonly limit?: number | undefined
  /** The last letter of the page before. */
  readonly after?: Pick<DeadLetterRow, 'id' | 'createdAt'> | undefined
}

/** Oldest first. */
export async function listDeadLetters(db: Queryable, filter: DeadLetterFilter = {}): Promise<DeadLetterRow[]> {
  const { state = 'OPEN', after } = filter
  const conditions = [
    state === 'any' ? Prisma.sql`true` : Prisma.sql`d.state = ${state}::dead_letter_state`,
    ...(filter.code === undefined ? [] : [Prisma.sql`d.code = ${filter.code}`]),
    ...(filter.class === undefined ? [] : [Prisma.sql`d.class = ${filter.class}`]),
    ...(filter.domain === undefined ? [] : [Prisma.sql`d.domain_id = ${domainToUuid(filter.domain)}::uuid`]),
    ...(filter.fileId === undefined ? [] : [Prisma.sql`d.file_id = ${uuid(filter.fileId, 'the file id')}::uuid`]),
    ...(filter.before === undefined ? [] : [Prisma.sql`d.created_at < ${filter.before}`]),
    ...(filter.since === undefined ? [] : [Prisma.sql`d.created_at >= ${filter.since}`]),
    ...(after === undefined ? [] : [Prisma.sql`(d.created_at, d.id) > (${after.createdAt}, ${after.id}::uuid)`]),
  ]
  const rows = await db.query<RawLetter>(Prisma.sql`
    SELECT ${COLUMNS} FROM dead_letters d WHERE ${Prisma.join(conditions, ' AND ')}
    ORDER BY d.created_at, d.id LIMIT ${Math.min(Math.max(1, Math.trunc(filter.limit ?? 100)), 1_000)}::int`)
  return rows.map(letter)
}

/** A dead letter with the history of its file. @throws RecordsError NOT_FOUND */
export async function getDeadLetter(
  db: Queryable,
  id: string,
): Promise<{ readonly letter: DeadLetterRow; readonly history: FailureRow[] }> {
  const [row] = await db.query<RawLetter>(
    Prisma.sql`SELECT ${COLUMNS} FROM dead_letters d WHERE d.id = ${uuid(id, 'the dead letter’s id')}::uuid`,
  )
  if (row === undefined) throw new RecordsError('NOT_FOUND', 'there is no such dead letter')
  return { letter: letter(row), history: row.fileId === null ? [] : await listFailures(db, row.fileId) }
}

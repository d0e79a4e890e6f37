import { RecordsError } from '../db/errors.js'
import { Prisma, type DeadLetter } from '../generated/client.js'
import { domainFromUuid, domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { DeadLetterRow, DeadLetterState, FailureRow } from '../db/terms.js'
import { listFailures } from './failures.js'

const OMIT = { requestFingerprint: true } as const

function letter({ domainId, ...raw }: Omit<DeadLetter, keyof typeof OMIT>): DeadLetterRow {
  return { ...raw, domain: domainId === null ? null : domainFromUuid(domainId) }
}

export interface DeadLetterFilter {
  /** Default OPEN. */
  readonly state?: DeadLetterState | 'any' | undefined
  readonly code?: string | undefined
  readonly class?: string | undefined
  readonly domain?: string | undefined
  /** Letters of these domains alone; refused requests that name none are left out. */
  readonly domains?: readonly string[] | undefined
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
  const query = {
    where: {
      ...(state !== 'any' && { state }),
      ...(filter.code !== undefined && { code: filter.code }),
      ...(filter.class !== undefined && { class: filter.class }),
      ...(filter.domain !== undefined && { domainId: domainToUuid(filter.domain) }),
      ...(filter.fileId !== undefined && { fileId: uuid(filter.fileId, 'the file id') }),
      AND: [
        ...(filter.domains === undefined ? [] : [{ domainId: { in: filter.domains.map(domainToUuid) } }]),
        ...(filter.before === undefined ? [] : [{ createdAt: { lt: filter.before } }]),
        ...(filter.since === undefined ? [] : [{ createdAt: { gte: filter.since } }]),
        // The first is for the index: a page begins in it where the one before ended.
        ...(after === undefined
          ? []
          : [
              { createdAt: { gte: after.createdAt } },
              { OR: [{ createdAt: { gt: after.createdAt } }, { id: { gt: uuid(after.id, 'the dead letter’s id') } }] },
            ]),
      ],
    },
    omit: OMIT,
    orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
    take: Math.min(Math.max(1, Math.trunc(filter.limit ?? 100)), 1_000),
  } satisfies Prisma.DeadLetterFindManyArgs
  return (await db.read(({ deadLetter }) => deadLetter.findMany(query))).map(letter)
}

/** Open dead letters by code. */
export function openLettersByCode(db: Queryable): Promise<{ readonly code: string; readonly letters: number }[]> {
  return db.query(Prisma.sql`
    SELECT code, count(*)::float8 AS letters FROM dead_letters WHERE state = 'OPEN' GROUP BY code ORDER BY code`)
}

/** A dead letter with the history of its file. @throws RecordsError NOT_FOUND */
export async function getDeadLetter(
  db: Queryable,
  id: string,
): Promise<{ readonly letter: DeadLetterRow; readonly history: FailureRow[] }> {
  const where = { id: uuid(id, 'the dead letter’s id') }
  const row = await db.read(({ deadLetter }) => deadLetter.findUnique({ where, omit: OMIT }))
  if (row === null) throw new RecordsError('NOT_FOUND', 'there is no such dead letter')
  return { letter: letter(row), history: row.fileId === null ? [] : await listFailures(db, row.fileId) }
}

import { RecordsError } from '../db/errors.js'
import type { Prisma } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Records } from '../db/records.js'
import { ATTEMPT_SELECT, attemptRow } from '../attempts/attempt-row.js'
import { fileRow } from './file-row.js'
import type { AttemptRow, FileRow, FileState } from '../db/terms.js'
import { isWhole, readWhole } from '../db/read-whole.js'
import { retryingIds } from './retrying-files.js'

export interface FileFilter {
  readonly state?: FileState | undefined
  readonly domain?: string | undefined
  /** Files of these domains alone. */
  readonly domains?: readonly string[] | undefined
  readonly batchId?: string | undefined
  /** Name of the source root. */
  readonly root?: string | undefined
  /** Prefix of the path below the root; `%` and `_` are literal. */
  readonly prefix?: string | undefined
  /** Files whose last failure had this code, and that were not STORED since. */
  readonly code?: string | undefined
  /** Files that failed and are retried: by an index that holds no others. */
  readonly retrying?: boolean | undefined
  /** Accepted at or after / before. */
  readonly acceptedSince?: Date | undefined
  readonly acceptedBefore?: Date | undefined
  /** The whole path below the root. */
  readonly path?: string | undefined
}

export interface Page {
  /** 1 to 1,000; default 100. */
  readonly limit?: number | undefined
  /** From the page before; its order and filter must be the same. */
  readonly cursor?: string | undefined
  /** By the time of acceptance; default oldest first. */
  readonly newestFirst?: boolean | undefined
}

export interface ListedFile {
  readonly file: FileRow
  /** The location of a STORED file's object; no nonces. */
  readonly committed: AttemptRow | null
}

/**
 * Files by filter, page by page; `nextCursor` is null on the last one. @throws RecordsError INVALID for a bad cursor or
 * id
 */
export async function listFiles(
  records: Records,
  { limit = 100, cursor, newestFirst = false, ...filter }: FileFilter & Page = {},
): Promise<{ readonly files: ListedFile[]; readonly nextCursor: string | null }> {
  const order = newestFirst ? 'desc' : 'asc'
  const take = Math.min(Math.max(1, Math.trunc(limit)), 1_000)
  const place = cursor === undefined ? undefined : placeOf(cursor)
  const ids =
    filter.retrying === true
      ? await retryingIds(records, filter, { limit: take + 1, newestFirst, after: place })
      : undefined
  const query = {
    where: {
      ...(ids !== undefined && { id: { in: ids } }),
      ...(filter.code !== undefined && { lastFailureCode: filter.code, NOT: { state: 'STORED' } }),
      ...(filter.state !== undefined && { state: filter.state }),
      ...(filter.domain !== undefined && { domainId: domainToUuid(filter.domain) }),
      AND: [
        ...(filter.domains === undefined ? [] : [{ domainId: { in: filter.domains.map(domainToUuid) } }]),
        ...(filter.acceptedSince === undefined ? [] : [{ acceptedAt: { gte: filter.acceptedSince } }]),
        ...(filter.acceptedBefore === undefined ? [] : [{ acceptedAt: { lt: filter.acceptedBefore } }]),
      ],
      ...(filter.batchId !== undefined && { batchId: uuid(filter.batchId, 'the batch id') }),
      ...(filter.root !== undefined && { sourceRoot: filter.root }),
      ...(filter.path !== undefined && { sourcePath: filter.path }),
      ...(filter.prefix !== undefined && { sourcePath: { startsWith: escapeLike(filter.prefix) } }),
      ...(place !== undefined && after(place, newestFirst)),
    },
    include: { committedAttempt: { select: ATTEMPT_SELECT } },
    orderBy: [{ acceptedAt: order }, { id: order }],
    take: take + 1,
  } satisfies Prisma.FileFindManyArgs
  const rows = await readWhole(
    () => records.read((prisma) => prisma.file.findMany(query)),
    (found) => found.every((raw) => isWhole(raw, raw.committedAttempt)),
  )
  const page = rows.slice(0, take)
  const last = page.at(-1)
  return {
    files: page.map(({ committedAttempt, ...raw }) => ({
      file: fileRow(raw),
      committed: committedAttempt === null ? null : attemptRow(committedAttempt),
    })),
    nextCursor: rows.length > take && last !== undefined ? cursorOf(last) : null,
  }
}

/** Prisma passes `startsWith` to LIKE unescaped. */
function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&')
}

/** A cursor is a place in the order, not a row: it stays valid whatever happens to the row. */
function cursorOf(row: { readonly acceptedAt: Date; readonly id: string }): string {
  return `${row.acceptedAt.getTime()}.${row.id}`
}

interface Place {
  readonly acceptedAt: Date
  readonly id: string
}

function placeOf(cursor: string): Place {
  const [time = '', id = ''] = cursor.split('.')
  if (!/^\d{1,15}$/.test(time)) throw new RecordsError('INVALID', 'that cursor is none of ours')
  return { acceptedAt: new Date(Number(time)), id: uuid(id, 'the cursor') }
}

function after({ acceptedAt, id }: Place, newestFirst: boolean) {
  return {
    OR: [
      { acceptedAt: newestFirst ? { lt: acceptedAt } : { gt: acceptedAt } },
      { acceptedAt, id: newestFirst ? { lt: id } : { gt: id } },
    ],
  }
}

import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import type { AuditRow } from '../db/terms.js'
import { AUDIT_COLUMNS } from './append-audit.js'

export interface AuditFilter {
  readonly since?: Date | undefined
  readonly actor?: string | undefined
  /** An action that ends in a dot stands for all that begin with it. */
  readonly action?: string | undefined
  readonly subjectId?: string | undefined
  readonly limit: number
}

export interface SearchOptions {
  readonly signal?: AbortSignal | undefined
  /** Rows that one statement reads. Default 10,000. */
  readonly window?: number | undefined
  /** Called after each statement with the number of rows read. */
  readonly onLooked?: ((rows: number) => void) | undefined
}

const WINDOW = 10_000
const LAST = '9223372036854775807'
/** A row's time is the start of its transaction, and its id is assigned later: no transaction lasts for a day. */
const DAY_MS = 86_400_000

/**
 * The newest rows that match a filter, oldest first. The log of a fleet has a row for every file: a subject and an
 * action come from their index, and the other conditions are checked window by window, so that no statement reads
 * without bound. Rows that are added meanwhile may be missed. @throws RecordsError, the signal's reason
 */
export async function searchAudit(
  db: Queryable,
  filter: AuditFilter,
  options: SearchOptions = {},
): Promise<AuditRow[]> {
  const { signal, window = WINDOW, onLooked } = options
  const source = await sourceOf(db, filter)
  const oldest = filter.since === undefined ? -Infinity : filter.since.getTime() - DAY_MS
  const found: AuditRow[] = []
  let before = LAST
  for (let looked = 0; found.length < filter.limit;) {
    signal?.throwIfAborted()
    const page = await search(db, source(before, window), { ...filter, limit: filter.limit - found.length })
    found.push(...page.rows)
    looked += page.looked
    onLooked?.(looked)
    if (page.last === null || page.looked < window || page.newest.getTime() < oldest) break
    before = page.last
  }
  return found.reverse()
}

/** At most `limit` rows of the log before one id, the newest: those that an index finds, or all. */
type Source = (before: string, limit: number) => Prisma.Sql

async function sourceOf(db: Queryable, { subjectId, action }: AuditFilter): Promise<Source> {
  if (subjectId !== undefined) {
    const kinds = await distinct(db, 'subject_kind')
    // OFFSET 0: a subject has few rows, but the planner does not know that; it would walk the whole log backwards for
    // them.
    return (before, limit) => Prisma.sql`
      SELECT l.* FROM unnest(${kinds}::text[]) AS n (kind) CROSS JOIN LATERAL (SELECT * FROM audit_log s
        WHERE s.subject_kind = n.kind AND s.subject_id = ${subjectId} AND s.id < ${before}::bigint OFFSET 0) l
      ORDER BY l.id DESC LIMIT ${limit}::int`
  }
  if (action !== undefined) {
    const actions = action.endsWith('.')
      ? (await distinct(db, 'action')).filter((name) => name.startsWith(action))
      : [action]
    // Pairs, though `action = … ORDER BY id` means the same: for that the planner may walk the whole log backwards,
    // too.
    return (before, limit) => Prisma.sql`
      SELECT l.* FROM unnest(${actions}::text[]) AS n (action) CROSS JOIN LATERAL (SELECT * FROM audit_log s
        WHERE (s.action, s.id) < (n.action, ${before}::bigint) AND (s.action, s.id) > (n.action, 0::bigint)
        ORDER BY s.action DESC, s.id DESC LIMIT ${limit}::int) l
      ORDER BY l.id DESC LIMIT ${limit}::int`
  }
  return (before, limit) =>
    Prisma.sql`SELECT * FROM audit_log WHERE id < ${before}::bigint ORDER BY id DESC LIMIT ${limit}::int`
}

/** The values of a column with few distinct ones, each found by one step in its index. */
async function distinct(db: Queryable, name: 'action' | 'subject_kind'): Promise<readonly string[]> {
  const column = Prisma.raw(name)
  const rows = await db.query<{ value: string }>(Prisma.sql`
    WITH RECURSIVE v AS (
      (SELECT ${column} AS value FROM audit_log ORDER BY ${column} LIMIT 1)
      UNION ALL
      SELECT (SELECT l.${column} FROM audit_log l WHERE l.${column} > v.value ORDER BY l.${column} LIMIT 1)
      FROM v WHERE v.value IS NOT NULL
    )
    SELECT value FROM v WHERE value IS NOT NULL`)
  return rows.map(({ value }) => value)
}

interface Page {
  readonly rows: readonly AuditRow[]
  readonly looked: number
  readonly last: string | null
  readonly newest: Date
}

type Row = Pick<Page, 'looked' | 'last' | 'newest'> & ({ readonly id: null } | AuditRow)

async function search(db: Queryable, source: Prisma.Sql, { since, actor, action, limit }: AuditFilter): Promise<Page> {
  const conditions = [
    Prisma.sql`TRUE`,
    ...(since === undefined ? [] : [Prisma.sql`at >= ${since}::timestamptz`]),
    ...(actor === undefined ? [] : [Prisma.sql`actor = ${actor}`]),
    ...(action === undefined
      ? []
      : [action.endsWith('.') ? Prisma.sql`starts_with(action, ${action})` : Prisma.sql`action = ${action}`]),
  ]
  const rows = await db.query<Row>(Prisma.sql`
    WITH looked AS MATERIALIZED (${source})
    SELECT s.*, m.* FROM (SELECT count(*)::int AS looked, min(id)::text AS last, max(at) AS newest FROM looked) s
    LEFT JOIN (SELECT ${AUDIT_COLUMNS}, audit_log.id AS no FROM looked AS audit_log
      WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY audit_log.id DESC LIMIT ${limit}::int) m ON TRUE
    ORDER BY m.no DESC`)
  const [{ looked, last, newest } = { looked: 0, last: null, newest: new Date(0) }] = rows
  return {
    looked,
    last,
    newest: newest ?? new Date(0),
    rows: rows.flatMap((row) => (row.id === null ? [] : [auditRow(row)])),
  }
}

function auditRow({ id, at, actor, action, subjectKind, subjectId, detail }: AuditRow): AuditRow {
  return { id, at, actor, action, subjectKind, subjectId, detail }
}

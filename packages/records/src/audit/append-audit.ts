import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import type { AuditRow } from '../db/terms.js'

export interface AuditInput {
  /** The actor: an operator, or a process. */
  readonly actor: string
  /** The action, as in `keys.activate`. */
  readonly action: string
  /** `file`, `key`, `domain`, `batch`, `dead-letter`, … and its id. */
  readonly subjectKind: string
  readonly subjectId: string
  /** JSON, nothing secret. */
  readonly detail?: unknown
}

/** Adds a row to the audit log; rows never change. Call it in a transaction to make the row part of the action. */
export async function appendAudit(db: Queryable, input: AuditInput): Promise<AuditRow> {
  const [row] = await db.query<AuditRow>(Prisma.sql`
    INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
    VALUES (${input.actor}, ${input.action}, ${input.subjectKind}, ${input.subjectId},
      ${JSON.stringify(input.detail ?? {})}::jsonb)
    RETURNING ${AUDIT_COLUMNS}`)
  if (row === undefined) throw new TypeError('an INSERT returns its row')
  return row
}

/** The actions on one subject, oldest first. */
export async function listAudit(
  db: Queryable,
  { subjectKind, subjectId }: Pick<AuditInput, 'subjectKind' | 'subjectId'>,
): Promise<AuditRow[]> {
  const query = {
    where: { subjectKind, subjectId },
    omit: { xact: true },
    orderBy: { id: 'asc' },
  } satisfies Prisma.AuditEntryFindManyArgs
  const rows = await db.read(({ auditEntry }) => auditEntry.findMany(query))
  return rows.map((row) => ({ ...row, id: String(row.id) }))
}

export const AUDIT_COLUMNS = Prisma.raw(
  `id::text AS id, at, actor, action, subject_kind AS "subjectKind", subject_id AS "subjectId", detail`,
)

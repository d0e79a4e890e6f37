import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'

export interface TableRights {
  readonly user: string
  /** Tables of the schema that this user may not read. */
  readonly unreadable: readonly string[]
  /** Tables of the schema that this user may not insert into or update. */
  readonly unwritable: readonly string[]
  /** How many tables this user may insert into or update. */
  readonly written: number
}

/** The rights of the connection's user on the tables of its schema, as PostgreSQL itself decides. */
export async function tableRights(db: Queryable): Promise<TableRights> {
  const [row] = await db.query<TableRights>(Prisma.sql`
    SELECT current_user::text AS user,
      coalesce(array_agg(c.relname::text ORDER BY c.relname)
        FILTER (WHERE NOT has_table_privilege(c.oid, 'SELECT')), '{}') AS unreadable,
      coalesce(array_agg(c.relname::text ORDER BY c.relname)
        FILTER (WHERE NOT (has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE'))), '{}') AS unwritable,
      (count(*) FILTER (WHERE has_table_privilege(c.oid, 'INSERT') OR has_table_privilege(c.oid, 'UPDATE')))::int AS written
    FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
      AND c.relname <> '_prisma_migrations'`)
  return row ?? { user: '', unreadable: [], unwritable: [], written: 0 }
}

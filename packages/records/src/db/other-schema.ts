import type pg from 'pg'

/**
 * A schema other than ours that holds Sealfleet's tables: an earlier version, with the user's search path, or another
 * URL put them there. undefined when there is none that this user may see.
 */
export async function otherSchema(db: Pick<pg.ClientBase, 'query'>, schema: string): Promise<string | undefined> {
  const { rows } = await db.query<{ name: string }>(
    `SELECT nspname AS name FROM pg_namespace n
     WHERE nspname <> $1 AND 3 = (SELECT count(*) FROM pg_class
       WHERE relnamespace = n.oid AND relname IN ('_prisma_migrations', 'key_domains', 'master_keys'))
     ORDER BY nspname LIMIT 1`,
    [schema],
  )
  return rows[0]?.name
}

import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { OLDEST_POSTGRES } from '../db/schema-version.js'

/** The settings of a session of the records, and those that need attention. */
export interface SessionReport {
  /** Settings by name, as in the session. */
  readonly settings: Readonly<Record<string, string>>
  /** Defaults of the database or the role that the session overrides, by name: other programs would get these. */
  readonly overridden: Readonly<Record<string, string>>
  readonly concerns: readonly { readonly text: string; readonly fix: string }[]
}

const SHOWN = [
  'TimeZone',
  'DateStyle',
  'IntervalStyle',
  'search_path',
  'standard_conforming_strings',
  'bytea_output',
  'extra_float_digits',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'statement_timeout',
  'synchronous_commit',
  'server_version_num',
]

/**
 * Compares the session with the pinned settings (`connection/session.ts`), and with the defaults of its database and
 * role.
 */
export async function sessionReport(db: Queryable): Promise<SessionReport> {
  const rows = await db.query<{ name: string; setting: string }>(
    Prisma.sql`SELECT name, setting FROM pg_settings WHERE name = ANY (${SHOWN}::text[]) ORDER BY name`,
  )
  const settings = Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))
  const defaults = await db.query<{ entry: string }>(Prisma.sql`
    SELECT unnest(setconfig) AS entry FROM pg_db_role_setting
    WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
    ORDER BY setdatabase, setrole`)
  const overridden: Record<string, string> = {}
  for (const { entry } of defaults) {
    const [name = '', value = ''] = [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]
    const known = SHOWN.find((shown) => shown.toLowerCase() === name.toLowerCase())
    if (known !== undefined && settings[known] !== value) overridden[known] = value
  }
  return { settings, overridden, concerns: concernsOf(settings) }
}

function concernsOf(settings: Readonly<Record<string, string>>): SessionReport['concerns'] {
  const version = Math.floor(Number(settings['server_version_num']) / 10_000)
  return [
    version < OLDEST_POSTGRES && {
      text: `PostgreSQL ${version} is older than ${OLDEST_POSTGRES}, the oldest supported`,
      fix: `upgrade the server to PostgreSQL ${OLDEST_POSTGRES} or later`,
    },
    settings['statement_timeout'] === '0' && {
      text: 'no statement_timeout: a connection pooler does not pass it on',
      fix: "ALTER ROLE … SET statement_timeout = '15s', for the user of SEALFLEET_DATABASE_URL",
    },
    settings['synchronous_commit'] === 'off' && {
      text: 'synchronous_commit is off: a crash of the server may lose what was committed',
      fix: 'ALTER DATABASE … RESET synchronous_commit (or of the role, or of the server)',
    },
    settings['default_transaction_read_only'] === 'on' && {
      text: 'default_transaction_read_only is on: nothing can be written',
      fix: 'ALTER DATABASE … RESET default_transaction_read_only (or of the role, or of the server)',
    },
  ].filter((concern) => concern !== false)
}

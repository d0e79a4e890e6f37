import pg from 'pg'
import { requireVariable } from './environment.js'
import { freshHex } from './names.js'
import { migratedTemplate } from './migrated-template.js'

export interface FreshDatabase extends AsyncDisposable {
  readonly name: string
  /** Address as superuser. */
  readonly url: string
}

export interface FreshDatabaseOptions {
  /**
   * `migrated` (default): every migration of this checkout is applied, copied from a template that is made once.
   * `empty`: no table at all, for tests of migrating. `{ copyOf }`: a copy of that database, to which no one may be
   * connected meanwhile.
   */
  readonly schema?: 'migrated' | 'empty' | { readonly copyOf: string }
}

/** A new database on the tests' Postgres, dropped (connections included) when disposed of. */
export async function freshDatabase({ schema = 'migrated' }: FreshDatabaseOptions = {}): Promise<FreshDatabase> {
  const server = requireVariable('SEALFLEET_TEST_DATABASE_URL')
  const name = `sf_test_${freshHex()}`
  const template =
    schema === 'empty' ? 'template0' : schema === 'migrated' ? await migratedTemplate(server) : schema.copyOf
  await onServer(server, `create database ${name} template ${pg.escapeIdentifier(template)}${await strategy(server)}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  // The copy of a fleet's database is that fleet; each of these must be a fleet of its own.
  if (schema === 'migrated') await onServer(url.href, NEW_FLEET)
  if (process.env['SEALFLEET_TEST_DATABASE_DEFAULTS'] === 'hostile') await onServer(server, hostileDefaults(name))
  return {
    name,
    url: url.href,
    [Symbol.asyncDispose]: async () => {
      await onServer(server, `drop database if exists ${name} with (force)`)
    },
  }
}

/**
 * Defaults of a database that change the meaning of statements or the reading of texts, unless a session sets what it
 * depends on. As many of them as one server can have.
 */
export function hostileDefaults(database: string): string {
  const defaults = {
    timezone: 'Asia/Kolkata',
    datestyle: 'German, DMY',
    intervalstyle: 'iso_8601',
    bytea_output: 'escape',
    extra_float_digits: '-15',
    search_path: 'nowhere',
    standard_conforming_strings: 'off',
    array_nulls: 'off',
    default_transaction_isolation: 'serializable',
    statement_timeout: '1',
    lock_timeout: '1',
    idle_in_transaction_session_timeout: '1',
    client_encoding: 'LATIN1',
  }
  return Object.entries(defaults)
    .map(([name, value]) => `alter database ${database} set ${name} = '${value}';`)
    .join('\n')
}

const NEW_FLEET = `set session_replication_role = replica; update fleet set id = gen_random_uuid()`

let copied: Promise<string> | undefined

/** Copies files where the server would else log each page: a third of the time, since the tests' server never syncs. */
function strategy(server: string): Promise<string> {
  copied ??= onServer(server, `select current_setting('server_version_num')::int as version`).then(([row]) =>
    Number(row?.['version']) >= 150_000 ? ' strategy file_copy' : '',
  )
  return copied
}

async function onServer(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, unknown>>(statement)
    return rows ?? []
  } finally {
    await client.end()
  }
}

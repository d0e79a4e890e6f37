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
  await onServer(server, `create database ${name} template ${pg.escapeIdentifier(template)}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return {
    name,
    url: url.href,
    [Symbol.asyncDispose]: () => onServer(server, `drop database if exists ${name} with (force)`),
  }
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

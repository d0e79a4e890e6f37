import pg from 'pg'
import { requireVariable } from './environment.js'
import { freshHex } from './names.js'

export interface FreshDatabase extends AsyncDisposable {
  readonly name: string
  /** Address as superuser. */
  readonly url: string
}

/**
 * A new database on the tests' Postgres, dropped (with whoever is still connected) when disposed of.
 *
 * @param options.template a database to copy, e.g. a migrated one; nobody may be connected to it meanwhile. Default: empty.
 */
export async function freshDatabase(options: { template?: string } = {}): Promise<FreshDatabase> {
  const server = requireVariable('SEALFLEET_TEST_DATABASE_URL')
  const name = `sf_test_${freshHex()}`
  const template = pg.escapeIdentifier(options.template ?? 'template0')
  await run(server, `create database ${name} template ${template}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return {
    name,
    url: url.href,
    [Symbol.asyncDispose]: async () => {
      await run(server, `drop database if exists ${name} with (force)`)
    },
  }
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

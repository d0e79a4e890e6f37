import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { freshHex } from './names.js'

const MIGRATIONS = fileURLToPath(new URL('../../../prisma/migrations', import.meta.url))

/** Only the holder of this lock makes the template; the others wait and then find it. */
const LOCK = 0x5ea1_7e57

let made: Promise<string> | undefined

/**
 * The name of a database with every migration of this checkout, on this server. Made once and kept: its name carries a
 * digest of the migrations, so a change of them is another template. It never has connections, so it can be copied.
 */
export function migratedTemplate(server: string): Promise<string> {
  made ??= findOrMake(server)
  return made
}

async function findOrMake(server: string): Promise<string> {
  const name = `sf_template_${await digestOfMigrations()}`
  const client = new pg.Client({ connectionString: server, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    if (await exists(client, name)) return name
    await client.query('select pg_advisory_lock($1)', [LOCK])
    if (await exists(client, name)) return name
    // Under another name until it is whole: a run that is killed in the middle leaves no partial template.
    const making = `sf_making_${freshHex()}`
    await client.query(`create database ${making} template template0`)
    const url = new URL(server)
    url.pathname = `/${making}`
    // Loaded only here, so that suites without a database don't load the records.
    const { migrate } = await import('@sealfleet/records')
    await migrate(url.href)
    await client.query(`alter database ${making} rename to ${name}`)
    return name
  } finally {
    await client.end()
  }
}

async function exists(client: pg.Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name])
  return rowCount === 1
}

async function digestOfMigrations(): Promise<string> {
  const hash = createHash('sha256')
  const entries = await readdir(MIGRATIONS, { withFileTypes: true })
  for (const name of entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()) {
    hash.update(`${name}\0`).update(await readFile(path.join(MIGRATIONS, name, 'migration.sql')))
  }
  return hash.digest('hex').slice(0, 16)
}

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { RecordsError } from '../db/errors.js'

/** prisma/migrations of this checkout, from src and from dist alike. */
export const MIGRATIONS_DIR = fileURLToPath(new URL('../../../../prisma/migrations', import.meta.url))

export interface MigrationFile {
  readonly name: string
  readonly script: string
  /** As in `_prisma_migrations`: SHA-256 of the file, hexadecimal. */
  readonly checksum: string
}

/** Oldest first. @throws RecordsError DB_SCHEMA when the folder is missing or holds none */
export async function readMigrations(dir: string = MIGRATIONS_DIR): Promise<MigrationFile[]> {
  let names: string[]
  try {
    names = (await readdir(dir, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name)
  } catch (error) {
    throw new RecordsError('DB_SCHEMA', `the migrations are not at ${dir}`, { cause: error as Error })
  }
  if (names.length === 0) throw new RecordsError('DB_SCHEMA', `there is no migration at ${dir}`)
  return Promise.all(
    names.sort().map(async (name) => {
      const script = await readFile(path.join(dir, name, 'migration.sql'), 'utf8')
      return { name, script, checksum: createHash('sha256').update(script).digest('hex') }
    }),
  )
}

/**
 * Generates the database client from prisma/schema.prisma into packages/records/src/generated, which is not committed.
 * Does nothing when the schema, Prisma's version and the result are unchanged (`--force` does it anyway).
 *
 * Works on a bare machine: Prisma 7 looks for its schema engine even to generate, and would download it, but never runs
 * it for that. So it gets the path of an executable that certainly exists: Node itself.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const checkout = join(dirname(fileURLToPath(import.meta.url)), '..')
const schema = join(checkout, 'prisma', 'schema.prisma')
const generated = join(checkout, 'packages', 'records', 'src', 'generated')
const stamp = join(generated, 'generated-from.json')

const prisma = createRequire(import.meta.url).resolve('prisma/package.json')
const from = JSON.stringify({
  schema: createHash('sha256').update(readFileSync(schema)).digest('hex'),
  prisma: /** @type {{ version: string }} */ (JSON.parse(readFileSync(prisma, 'utf8'))).version,
})

const upToDate = existsSync(stamp) && readFileSync(stamp, 'utf8') === from && existsSync(join(generated, 'client.ts'))

if (!upToDate || process.argv.includes('--force')) {
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    [join(dirname(prisma), 'build', 'index.js'), 'generate', '--schema', schema, '--no-hints'],
    {
      cwd: checkout,
      encoding: 'utf8',
      env: {
        ...process.env,
        PRISMA_SCHEMA_ENGINE_BINARY: process.env['PRISMA_SCHEMA_ENGINE_BINARY'] || process.execPath,
        CHECKPOINT_DISABLE: '1',
        PRISMA_HIDE_UPDATE_MESSAGE: '1',
      },
    },
  )
  if (status === 0) {
    writeFileSync(stamp, from)
  } else {
    process.stderr.write(`${stdout ?? ''}${stderr ?? ''}${error ? `${error.message}\n` : ''}`)
    process.stderr.write('The database client could not be generated from prisma/schema.prisma.\n')
    process.exitCode = 1
  }
}

import { chmod, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { freshDatabase, tempDir } from '@sealfleet/testkit'
import pg from 'pg'
import { expect, test } from 'vitest'
import { runMigrateCommand } from '../src/migrate/command.js'
import { readMigrations } from '../src/migrate/migration-files.js'
import { gate } from './support.js'

interface Run {
  readonly status: number
  readonly out: string
  readonly err: string
}

async function run(args: string[], env: Record<string, string> = {}, cwd = '/'): Promise<Run> {
  const out: string[] = []
  const err: string[] = []
  const status = await runMigrateCommand(args, env, cwd, { out: (l) => void out.push(l), err: (l) => void err.push(l) })
  return { status, out: out.join('\n'), err: err.join('\n') }
}

test('from nothing to done, with the status on the way', async () => {
  await using database = await freshDatabase({ schema: 'empty' })
  const env = { SEALFLEET_DATABASE_URL: database.url }
  const before = await run(['--status'], env)
  expect(before.status).toBe(1)
  expect(before.out).toMatch(/pending +\d+_tables/)
  const done = await run(['--json'], env)
  expect(done.status).toBe(0)
  const applied = (await readMigrations()).map(({ name }) => name)
  expect(applied.length).toBeGreaterThan(1)
  expect(JSON.parse(done.out)).toMatchObject({ applied })
  expect(await run([], env)).toMatchObject({ status: 0, out: expect.stringContaining('nothing to do') as unknown })
  const after = await run(['--status', '--json'], env)
  expect(after.status).toBe(0)
  expect(JSON.parse(after.out)).toMatchObject({ pending: [], failed: [] })
})

test('finds the database of the checkout’s own services when nothing else is said', async () => {
  await using database = await freshDatabase({ schema: 'empty' })
  await using dir = await tempDir()
  const below = path.join(dir.path, 'a', 'b')
  await mkdir(path.join(dir.path, '.sealfleet'))
  await mkdir(below, { recursive: true })
  const file = path.join(dir.path, '.sealfleet', 'env')
  await writeFile(file, `SEALFLEET_DATABASE_URL='${database.url}'\n`)
  await chmod(file, 0o600)
  expect((await run([], {}, below)).status).toBe(0)
  expect((await run(['--status', '--config', file])).status).toBe(0)
})

test('says on standard error for whom it waits', async () => {
  await using database = await freshDatabase({ schema: 'empty' })
  const env = { SEALFLEET_DATABASE_URL: database.url }
  const holder = new pg.Client({ connectionString: database.url, application_name: 'another one' })
  await holder.connect()
  await holder.query('SELECT pg_advisory_lock($1)', [0x5ea1f1e7])
  const err: string[] = []
  const said = gate()
  const waiting = runMigrateCommand([], env, '/', {
    out: () => undefined,
    err: (line) => {
      err.push(line)
      said.open()
    },
  })
  await said.opened
  await holder.end()
  expect(await waiting).toBe(0)
  expect(err).toEqual([expect.stringContaining('another one')])
})

test('says how it is used', async () => {
  const { status, out } = await run(['--help'])
  expect(status).toBe(0)
  expect(out).toContain('--status')
})

test.each<[string, string[], Record<string, string>, number, string]>([
  ['an unknown option', ['--now'], {}, 2, '--now'],
  ['no database', [], {}, 2, 'SEALFLEET_DATABASE_URL'],
  [
    'a URL that is none',
    [],
    { SEALFLEET_DATABASE_URL: 'mysql://root:s3cret@127.0.0.1/x' },
    2,
    'SEALFLEET_DATABASE_URL',
  ],
  ['a server that is down', [], { SEALFLEET_DATABASE_URL: 'postgres://u:s3cret@127.0.0.1:1/x' }, 6, 'DB_UNAVAILABLE'],
])('%s: status and message', async (_, args, env, status, text) => {
  for (const more of [[], ['--json']]) {
    const result = await run([...args, ...more], env)
    expect(result.status).toBe(status)
    expect(result.out + result.err).toContain(text)
    expect(result.out + result.err).not.toContain('s3cret')
    if (more.length > 0) expect(JSON.parse(result.out)).toHaveProperty('error.code')
  }
})

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createWorld, type Ran, type World } from './support/world.js'

const execute = promisify(execFile)
const OPERATIONS = path.resolve(import.meta.dirname, '../../../docs/OPERATIONS.md')
const role = `sealfleet_auditor_${randomBytes(6).toString('hex')}`

let world: World
let settings = ''
let fileId = ''

/** On the database of this suite, as its owner. */
async function sql(...statements: readonly string[]): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    let rows: Record<string, unknown>[] = []
    for (const statement of statements) rows = (await client.query<Record<string, unknown>>(statement)).rows
    return rows
  } finally {
    await client.end()
  }
}

/** The statements that docs/OPERATIONS.md gives for the auditor's user, for a role and a database of this suite. */
async function grants(): Promise<string> {
  const [, block] =
    /```sql\n([^`]*CREATE ROLE sealfleet_auditor[^`]*)```/.exec(await readFile(OPERATIONS, 'utf8')) ?? []
  if (block === undefined) throw new Error('OPERATIONS.md has no statements for the auditor')
  const database = new URL(world.databaseUrl).pathname.slice(1)
  return block.replaceAll('sealfleet_auditor', role).replaceAll('DATABASE sealfleet ', `DATABASE ${database} `)
}

/** A copy of the token without encryption masters: what replicating only some keys gives on an HSM. */
async function auditorToken(dir: string): Promise<string> {
  const original = path.dirname(world.env['SOFTHSM2_CONF'] ?? '')
  await cp(path.join(original, 'tokens'), path.join(dir, 'tokens'), { recursive: true })
  const conf = path.join(dir, 'softhsm2.conf')
  await writeFile(conf, `directories.tokendir = ${path.join(dir, 'tokens')}\nobjectstore.backend = file\n`)
  const { env } = world
  const login = [
    '--login',
    '--pin',
    env['SEALFLEET_PKCS11_PIN'] ?? '',
    '--token-label',
    env['SEALFLEET_PKCS11_TOKEN'] ?? '',
  ]
  const gone = ['--delete-object', '--type', 'secrkey', '--label', 'sealfleet/default/enc/s1/1']
  await execute('pkcs11-tool', ['--module', env['SEALFLEET_PKCS11_MODULE'] ?? '', ...login, ...gone], {
    env: { ...process.env, SOFTHSM2_CONF: conf },
  })
  return conf
}

beforeAll(async () => {
  world = await createWorld()
  const init = await world.inProcess(['keys', 'init', '--with-audit'])
  expect(init.status, init.stderr).toBe(0)
  {
    await using _worker = await world.worker()
    await writeFile(path.join(world.data, 'a'), randomBytes(70_000))
    const ran = await world.inProcess(['enqueue', 'a', '--wait', '--json'])
    fileId = ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? ''
  }
  // Transactions of other databases on this server hold rows of the log back for a while.
  for (let signed = false; !signed;)
    signed = /^\d+:/.test((await world.inProcess(['audit', 'checkpoint'])).stdout.toString())
  await sql(await grants())

  const dir = path.join(world.dir, 'auditor')
  await mkdir(dir)
  const url = new URL(world.databaseUrl)
  url.username = role
  url.password = 'choose-one'
  const own = {
    SEALFLEET_DATABASE_URL: url.href,
    SEALFLEET_PKCS11_MODULE: world.env['SEALFLEET_PKCS11_MODULE'],
    SEALFLEET_PKCS11_TOKEN: world.env['SEALFLEET_PKCS11_TOKEN'],
    SEALFLEET_PKCS11_PIN: world.env['SEALFLEET_PKCS11_PIN'],
    SEALFLEET_PKCS11_PIN_ID: 'auditor',
    SOFTHSM2_CONF: await auditorToken(dir),
    ...Object.fromEntries(Object.entries(world.env).filter(([name]) => name.startsWith('SEALFLEET_S3_'))),
  }
  settings = path.join(dir, 'auditor.env')
  const lines = Object.entries(own).map(([name, value]) => `${name}='${value ?? ''}'\n`)
  await writeFile(settings, lines.join(''), { mode: 0o600 })
}, 120_000)
afterAll(async () => {
  const server = new URL(world.databaseUrl)
  await world[Symbol.asyncDispose]()
  server.pathname = '/postgres'
  const client = new pg.Client({ connectionString: server.href })
  await client.connect()
  await client.query(`DROP ROLE IF EXISTS ${role}`)
  await client.end()
})

/** As the auditor: none of the fleet's settings is there. */
const audit = (...args: readonly string[]): Promise<Ran> => {
  const none = Object.fromEntries(
    Object.keys(world.env).flatMap((name) => (/^(SEALFLEET_|SOFTHSM2)/.test(name) ? [[name, undefined]] : [])),
  )
  return world.sealfleet([...args, '--config', settings], { env: none })
}

describe('an auditor, set up as docs/OPERATIONS.md says', { timeout: 120_000 }, () => {
  it.each([
    ['verifies every file', ['verify', '--all']],
    ['verifies the audit log', ['audit', 'verify', '--anchor', 'anchor.json']],
    ['reads the audit log', ['audit', 'log', '--since', '31d']],
    ['sees the scrubs', ['scrub', 'status']],
    ['lists and checks destructions', ['keys', 'destructions', '--verify']],
    ['lists operators, whose keys stand under requests', ['operators', 'list']],
    ['lists holds', ['holds', 'list']],
  ])('%s', async (_what, args) => {
    const ran = await audit(...args)
    expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
  })

  it('opens nothing', async () => {
    const ran = await audit('restore', fileId, '-o', path.join(world.dir, 'out'), '--json')
    expect([ran.status, ran.json<{ error: { code: string } }>().error.code]).toEqual([5, 'E_KEY_UNKNOWN'])
  })

  it.each([
    ['removes nothing', ['rm', '--reason', 'x', '--yes']],
    ['signs nothing', ['audit', 'checkpoint']],
  ])('%s', async (_what, [verb = '', ...rest]) => {
    const before = await sql(
      'SELECT (SELECT count(*) FROM audit_log) AS log, (SELECT count(*) FROM audit_checkpoints) AS signed',
    )
    const ran = await audit(verb, ...(verb === 'rm' ? [fileId] : []), ...rest)
    expect(ran.status).not.toBe(0)
    expect(await sql('SELECT state::text FROM files')).toEqual([{ state: 'STORED' }])
    expect(
      await sql('SELECT (SELECT count(*) FROM audit_log) AS log, (SELECT count(*) FROM audit_checkpoints) AS signed'),
    ).toEqual(before)
  })
})

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

import { startFaultProxy, type SeenRequest } from '@sealfleet/testkit'
import pg from 'pg'

import type { Ran, World } from './world.js'

const execute = promisify(execFile)
const PAGE = path.resolve(import.meta.dirname, '../../../../docs/operate/audit.md')

/** What changes a bucket. */
const WRITES = [
  'PutObject',
  'DeleteObject',
  'CreateMultipartUpload',
  'UploadPart',
  'CompleteMultipartUpload',
  'AbortMultipartUpload',
] as const

/** Someone set up as docs/operate/audit.md says: a token without encryption masters, a database user and credentials that only read. */
export interface Auditor extends AsyncDisposable {
  /** The name of the database's role. */
  readonly role: string
  /** Runs the built command with the auditor's settings file; none of the fleet's settings is there. */
  run(...args: readonly string[]): Promise<Ran>
  /** The same in this process, for tables of commands. @param env wins over the file */
  inProcess(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>
  /** Requests to the store that would have changed it, all refused. */
  writes(): readonly SeenRequest[]
}

/** The block of that language in docs/operate/audit.md that has this text in it. */
export async function auditBlock(language: 'sql' | 'sh', text: string): Promise<string> {
  const source = await readFile(PAGE, 'utf8')
  const blocks = [...source.matchAll(/```(\w+)\n([^`]*)```/g)]
  const found = blocks.find(([, of, body]) => of === language && body?.includes(text) === true)?.[2]
  if (found === undefined) throw new Error(`the page has no ${language} with ${text}`)
  return found
}

/** Statements on the database of a world, as its owner; the rows of the last one. */
export async function sql(url: string, ...statements: readonly string[]): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    let rows: Record<string, unknown>[] = []
    for (const statement of statements) rows = (await client.query<Record<string, unknown>>(statement)).rows
    return rows
  } finally {
    await client.end()
  }
}

/** @param masters the encryption masters in the world's token, by label: the auditor's copy has none of them */
export async function createAuditor(world: World, masters: readonly string[]): Promise<Auditor> {
  const role = `sealfleet_auditor_${randomBytes(8).toString('hex')}`
  // Roles belong to the whole server: this one goes, whatever the suite does. What it was granted hangs on the database.
  const dropRole = async (): Promise<void> => {
    const [there] = await sql(world.databaseUrl, `SELECT 1 FROM pg_roles WHERE rolname = '${role}'`)
    if (there !== undefined) await sql(world.databaseUrl, `DROP OWNED BY ${role}`, `DROP ROLE ${role}`)
  }
  const store = await startFaultProxy(world.env['SEALFLEET_S3_ENDPOINT'] ?? '')
  for (const operation of WRITES) store.inject(operation, { kind: 'status', status: 403, code: 'AccessDenied' })
  try {
    for (const statements of await grants(world, role)) await sql(world.databaseUrl, statements)
    const settings = await settingsFile(world, { role, masters, endpoint: store.endpoint })
    const none = Object.fromEntries(
      Object.keys(world.env).flatMap((name) => (/^(SEALFLEET_|SOFTHSM2)/.test(name) ? [[name, undefined]] : [])),
    )
    return {
      role,
      run: (...args) => world.sealfleet([...args, '--config', settings], { env: none }),
      inProcess: (args, env) => world.inProcess([...args, '--config', settings], { env: { ...none, ...env } }),
      writes: () => store.seen.filter(({ operation }) => WRITES.some((one) => one === operation)),
      [Symbol.asyncDispose]: async () => {
        await store[Symbol.asyncDispose]()
        await dropRole()
      },
    }
  } catch (error) {
    await store[Symbol.asyncDispose]()
    await dropRole()
    throw error
  }
}

/** The statements of docs/operate/audit.md for a role and a database of this suite's own. */
async function grants(world: World, role: string): Promise<readonly string[]> {
  const database = new URL(world.databaseUrl).pathname.slice(1)
  const blocks = await Promise.all(
    ['CREATE ROLE sealfleet_auditor', 'TO sealfleet_auditor'].map((text) => auditBlock('sql', text)),
  )
  return blocks.map((block) =>
    block.replaceAll('sealfleet_auditor', role).replaceAll('DATABASE sealfleet ', `DATABASE ${database} `),
  )
}

async function settingsFile(
  world: World,
  o: { readonly role: string; readonly masters: readonly string[]; readonly endpoint: string },
): Promise<string> {
  const dir = path.join(world.dir, 'auditor')
  await mkdir(dir)
  const url = new URL(world.databaseUrl)
  url.username = o.role
  url.password = 'choose-one'
  const own = {
    ...Object.fromEntries(Object.entries(world.env).filter(([name]) => name.startsWith('SEALFLEET_S3_'))),
    SEALFLEET_S3_ENDPOINT: o.endpoint,
    SEALFLEET_DATABASE_URL: url.href,
    SEALFLEET_PKCS11_MODULE: world.env['SEALFLEET_PKCS11_MODULE'],
    SEALFLEET_PKCS11_TOKEN: world.env['SEALFLEET_PKCS11_TOKEN'],
    SEALFLEET_PKCS11_PIN: world.env['SEALFLEET_PKCS11_PIN'],
    SEALFLEET_PKCS11_PIN_ID: 'auditor',
    SOFTHSM2_CONF: await tokenWithout(world, dir, o.masters),
  }
  const settings = path.join(dir, 'auditor.env')
  const lines = Object.entries(own).map(([name, value]) => `${name}='${value ?? ''}'\n`)
  await writeFile(settings, lines.join(''), { mode: 0o600 })
  return settings
}

/** A copy of the token without some keys: what replicating only the others gives on an HSM. */
async function tokenWithout(world: World, dir: string, labels: readonly string[]): Promise<string> {
  const { env } = world
  const tokens = path.join(dir, 'tokens')
  await cp(path.join(path.dirname(env['SOFTHSM2_CONF'] ?? ''), 'tokens'), tokens, { recursive: true })
  const conf = path.join(dir, 'softhsm2.conf')
  await writeFile(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`)
  const [module, pin, token] = ['MODULE', 'PIN', 'TOKEN'].map((name) => env[`SEALFLEET_PKCS11_${name}`] ?? '')
  for (const label of labels)
    await execute(
      'pkcs11-tool',
      [
        ...['--module', module ?? '', '--login', '--pin', pin ?? '', '--token-label', token ?? ''],
        ...['--delete-object', '--type', 'secrkey', '--label', label],
      ],
      { env: { ...process.env, SOFTHSM2_CONF: conf } },
    )
  return conf
}

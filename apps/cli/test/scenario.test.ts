import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { migrate } from '@sealfleet/records'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Pieces } from './support/fragments.js'
import { enrolOfficers } from './support/officers.js'
import { startProgram, type Running } from './support/processes.js'
import { loot, openBucket, secretsOf } from './support/thief.js'
import { createWorld, type Ran, type World } from './support/world.js'

/**
 * The life of master keys from the first to the last day, by the commands that people use, on a fleet of two workers and a
 * maintenance process: each test is a chapter and stands on those before it.
 */
const WAVES = 4
const FILES_A_WAVE = 25
const DOMAINS = ['default', 'vault'] as const
type Domain = (typeof DOMAINS)[number]

interface Sealed {
  readonly domain: Domain
  readonly wave: number
  readonly content: Buffer
}

let world: World
let fleet: Running[] = []
/** By file id. */
const files = new Map<string, Sealed>()

beforeAll(async () => {
  world = await createWorld({ store: 'radosgw' })
})
afterAll(async () => {
  await stopFleet()
  await world?.[Symbol.asyncDispose]()
})

async function startFleet(): Promise<void> {
  const env = {
    ...world.env,
    SEALFLEET_CONCURRENCY: '3',
    SEALFLEET_REKEY_CONCURRENCY: '2',
    SEALFLEET_SWEEP_SECONDS: '1',
    SEALFLEET_SWEEP_GRACE_SECONDS: '1',
    SEALFLEET_SUPERSEDED_GRACE_SECONDS: '1',
    SEALFLEET_AUDIT_CHAIN_SECONDS: '1',
    SEALFLEET_DESTROY_SECONDS: '1',
    SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1',
  }
  fleet = await Promise.all([
    startProgram('main.js', env, world.dir),
    startProgram('main.js', env, world.dir),
    startProgram('maintenance.js', env, world.dir),
  ])
}

async function stopFleet(): Promise<void> {
  await Promise.all(fleet.map((one) => one[Symbol.asyncDispose]()))
  fleet = []
}

/** Runs a command that must succeed. */
async function sealfleet(...args: string[]): Promise<Ran> {
  const ran = await world.sealfleet(args, { env: { SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1' } })
  expect(ran.status, `sealfleet ${args.join(' ')}\n${ran.stdout.toString()}${ran.stderr}`).toBe(0)
  return ran
}

async function wave(number: number): Promise<void> {
  for (const domain of DOMAINS) {
    const folder = path.join(world.data, domain, `wave-${number}`)
    await mkdir(folder, { recursive: true })
    for (let n = 0; n < FILES_A_WAVE; n++) {
      // Sizes of less, exactly and more than a segment among them.
      const size = [0, 1, 4_096, 2 ** 20, 2 ** 20 + 1][n] ?? 10_000 + n
      await writeFile(path.join(folder, `file-${n}`), randomBytes(size))
    }
    const ran = await sealfleet('enqueue', folder, '--domain', domain, '--context', `scenario ${domain}`, '--json')
    for (const { fileId, relativePath } of ran.json<{ files: { fileId: string; relativePath: string }[] }>().files) {
      const content = await readFile(path.join(world.data, relativePath))
      files.set(fileId, { domain, wave: number, content })
    }
  }
}

async function query<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    return (await client.query<Row>(sql, values)).rows
  } finally {
    await client.end()
  }
}

/** Asks until it is so; the test's own time-out ends it. */
async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 100))
}

const settled = () =>
  until(async () => {
    const [row] = await query<{ open: number }>(
      `SELECT count(*)::int AS open FROM files WHERE state IN ('QUEUED', 'RUNNING')`,
    )
    return row?.open === 0
  })

/** Which enc version each stored file of a domain is sealed under. */
async function versionsOf(domain: Domain): Promise<Map<string, number>> {
  const rows = await query<{ id: string; version: number }>(
    `SELECT f.id, k.version FROM files f JOIN attempts a ON a.id = f.committed_attempt_id
       JOIN master_keys k ON k.id = a.enc_key_id JOIN key_domains d ON d.id = f.domain_id
     WHERE f.state = 'STORED' AND d.name = $1`,
    [domain],
  )
  return new Map(rows.map(({ id, version }) => [id, version]))
}

interface Outcome {
  readonly fileId: string
  readonly code?: string
}

/**
 * What opens and what does not: every file is restored by the command and compared with what was sealed.
 * @returns how many came back identical, and how many failed with which code
 */
async function census(domain: Domain): Promise<Record<string, number>> {
  const out = path.join(world.dir, `out-${randomBytes(4).toString('hex')}`)
  const ran = await world.sealfleet(['restore', '--all', '--domain', domain, '-o', out, '--json'])
  const counts: Record<string, number> = {}
  for (const line of ran.stdout.toString().trim().split('\n')) {
    const one = JSON.parse(line) as Partial<Outcome> & {
      path?: string
      output?: string
      error?: { code: string }
    }
    if (one.fileId === undefined) continue
    const outcome = one.error?.code ?? (await compare(one.fileId, one.output ?? path.join(out, one.path ?? '')))
    counts[outcome] = (counts[outcome] ?? 0) + 1
  }
  if (counts['identical'] === undefined) expect(await readdir(out).catch(() => [])).toEqual([])
  await rm(out, { recursive: true, force: true })
  return counts
}

async function compare(fileId: string, file: string): Promise<string> {
  const wanted = files.get(fileId)?.content
  return wanted !== undefined && (await readFile(file)).equals(wanted) ? 'identical' : 'different'
}

const all = WAVES * FILES_A_WAVE

describe('the life of master keys', { timeout: 300_000 }, () => {
  test('the first keys: two officers, two domains, an audit key', async () => {
    await enrolOfficers(world, ['ada', 'grace'])
    await sealfleet('keys', 'init', '--with-audit')
    await sealfleet('domains', 'add', 'vault', '--nonces', 'detached', '--accept-loss-with-database')
    await sealfleet('keys', 'init', '--domain', 'vault')
    await startFleet()
  })

  test('200 files in two domains, keys rotated twice under load: three versions, every file opens', async () => {
    await wave(1)
    // The first rotation meets the first wave under way, the second one the next two.
    const second = wave(2)
    for (const domain of DOMAINS) await sealfleet('keys', 'rotate', '--domain', domain)
    await second
    await wave(3)
    for (const domain of DOMAINS) {
      await until(async () => [...(await versionsOf(domain)).values()].includes(2))
      await sealfleet('keys', 'rotate', '--domain', domain)
    }
    await wave(WAVES)
    await settled()
    for (const domain of DOMAINS) {
      const versions = await versionsOf(domain)
      expect(versions.size).toBe(all)
      expect(new Set(versions.values())).toEqual(new Set([1, 2, 3]))
      expect(await census(domain)).toEqual({ identical: all })
    }
  })

  test('version 1 of the default domain is left by re-encryption, while its files are read', async () => {
    const before = await versionsOf('default')
    const leaving = [...before].filter(([, version]) => version === 1).map(([id]) => id)
    const rekey = sealfleet('rekey', '--domain', 'default', '--from', '1', '--wait', '--json')
    expect(await census('default')).toEqual({ identical: all })
    await rekey
    const after = await versionsOf('default')
    expect(leaving.map((id) => after.get(id))).toEqual(leaving.map(() => 3))
    expect(await census('default')).toEqual({ identical: all })
  })

  test('nonces are wrapped anew: only the database changes, every file opens', async () => {
    const before = await objects()
    await sealfleet('keys', 'rotate', '--role', 'kek', '--domain', 'vault')
    await sealfleet('rewrap', '--domain', 'vault')
    const wraps = await query<{ version: number }>(
      `SELECT DISTINCT k.version FROM attempts a JOIN master_keys k ON k.id = a.kek_key_id WHERE a.wrapped_nonces IS NOT NULL`,
    )
    expect(wraps).toEqual([{ version: 2 }])
    expect([...(await objects())].filter(([key]) => !key.startsWith('default/'))).toEqual(
      [...before].filter(([key]) => !key.startsWith('default/')),
    )
    expect(await census('vault')).toEqual({ identical: all })
  })

  test('a thief of Postgres, Redis and the bucket holds no eight bytes of any derived key or detached nonce', async () => {
    const secrets = await secretsOf(world.env)
    // K_sig and IV with AES key of every attempt; two nonces more where they are detached.
    expect(secrets.length).toBeGreaterThanOrEqual(2 * 2 * all + 2 * all)
    const pieces = new Pieces(secrets)
    const stolen = await loot(world.env)
    expect(stolen.has('postgres')).toBe(true)
    expect([...stolen.keys()].filter((place) => place.startsWith('object ')).length).toBeGreaterThanOrEqual(2 * all)
    const found = [...stolen].flatMap(([place, bytes]) => pieces.findIn(place, bytes))
    expect(found).toEqual([])
    // And the search would have found one: a key that is put beside the rest, as text inside text.
    const planted = Buffer.from(`{"note":"${Buffer.from(secrets.at(-1)?.bytes ?? []).toString('base64')}"}`)
    expect(pieces.findIn('planted', planted)).toHaveLength(1)
  })

  test('the audit log proves what happened, each deed of this life in it', async () => {
    await until(async () => (await refusedOrDone('audit', 'verify', '--anchor', anchor())) === 'done')
    const log = (await sealfleet('audit', 'log', '--limit', '100000', '--json')).stdout.toString()
    for (const action of [
      'keys.generate',
      'keys.activate',
      'operators.add',
      'rekey.start',
      'file.commit',
      'file.rekey',
    ])
      expect(log, action).toContain(`"${action}"`)
  })

  test('the database is lost: inline files come back from S3 and the HSM, detached ones do not', async () => {
    await stopFleet()
    await query('DROP SCHEMA public CASCADE')
    await query('CREATE SCHEMA public')
    await migrate(world.databaseUrl)
    const ran = await world.sealfleet(['recover', '--json'])
    // The vault's objects can not be placed, and it says so.
    expect(ran.status).toBe(1)
    expect(ran.stdout.toString()).toContain('E_NONCES_ABSENT')
    expect(await census('default')).toEqual({ identical: all })
    expect((await versionsOf('default')).size).toBe(all)
    expect(new Set((await versionsOf('default')).values())).toEqual(new Set([2, 3]))
    expect((await versionsOf('vault')).size).toBe(0)
  })
})

const anchor = () => path.join(world.dir, 'anchor.json')

async function refusedOrDone(...args: string[]): Promise<string> {
  const ran = await world.sealfleet([...args, '--json'])
  return ran.status === 0 ? 'done' : ran.stdout.toString()
}

/** Object key → version, ETag and length. */
async function objects(): Promise<Map<string, string>> {
  using store = await openBucket(world.env)
  const found = new Map<string, string>()
  for await (const { key, etag, length } of store.list('')) found.set(key, `${etag} ${length}`)
  return found
}

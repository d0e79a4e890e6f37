import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { expect } from 'vitest'
import { startProgram, type Running } from './processes.js'
import { openBucket } from './thief.js'
import { createWorld, type Ran, type World } from './world.js'

/** Every task of maintenance as often as it may be, and no grace that a test would have to sit out. */
const HURRIED = {
  SEALFLEET_CONCURRENCY: '3',
  SEALFLEET_REKEY_CONCURRENCY: '2',
  SEALFLEET_SWEEP_SECONDS: '1',
  SEALFLEET_SWEEP_GRACE_SECONDS: '1',
  SEALFLEET_SUPERSEDED_GRACE_SECONDS: '1',
  SEALFLEET_AUDIT_CHAIN_SECONDS: '1',
  SEALFLEET_AUDIT_CHECKPOINT_SECONDS: '1',
  SEALFLEET_DESTROY_SECONDS: '1',
}
/** For fleet and commands alike: a waiting period that a test can sit out. */
const SHORT_WAIT = { SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1' }
const GIVE_UP_S = 90

export interface Refusal {
  readonly status: number | null
  readonly code: string
}

/** A fleet with its files, which remembers what was sealed, and the commands by which its story is told. */
export interface Life extends AsyncDisposable {
  readonly world: World
  /** Starts two workers (or so many) and a maintenance process. */
  startFleet(workers?: number): Promise<void>
  stopFleet(): Promise<void>
  /** What maintenance has logged since it was started. */
  houseLog(): string
  /** Runs a command that must succeed. */
  sealfleet(...args: string[]): Promise<Ran>
  /** Runs a command that must be refused. */
  refused(...args: string[]): Promise<Refusal>
  /** Whether a file of the house's machine is there. */
  has(file: string): Promise<boolean>
  /** Whether a command succeeds now: null, or what it says instead. */
  refusalOf(...args: string[]): Promise<string | null>
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>
  /** Enqueues so many new files of a domain, and remembers what is in them. */
  enqueue(domain: string, folder: string, count: number): Promise<void>
  /** Until no file is on its way any more. */
  settled(): Promise<void>
  /** Which enc version each stored file of a domain is sealed under, by file id. */
  versionsOf(domain: string): Promise<Map<string, number>>
  /**
   * What opens and what does not: every file of a domain is restored by the command and compared with what was sealed.
   * @returns how many came back identical, and how many failed with which code
   */
  census(domain: string): Promise<Record<string, number>>
  /** Of every object in the store its ETag and length, by key. */
  objects(): Promise<Map<string, string>>
}

/**
 * Asks what is still missing until nothing is. @throws what was missing last, when that has not become null in time: nobody has to
 * guess what a wait was for
 */
export async function until(missing: () => Promise<string | null>, seconds = GIVE_UP_S): Promise<void> {
  const end = performance.now() + seconds * 1_000
  for (;;) {
    const what = await missing()
    if (what === null) return
    if (performance.now() > end) throw new Error(`given up after ${seconds} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

export async function beginLife(o: Parameters<typeof createWorld>[0]): Promise<Life> {
  const world = await createWorld(o)
  const contents = new Map<string, Buffer>()
  let fleet: Running[] = []

  const run = (args: readonly string[]) => world.sealfleet(args, { env: SHORT_WAIT })
  const sealfleet: Life['sealfleet'] = async (...args) => {
    const ran = await run(args)
    expect(ran.status, `sealfleet ${args.join(' ')}\n${ran.stdout.toString()}${ran.stderr}`).toBe(0)
    return ran
  }
  const query: Life['query'] = async <Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []) => {
    const client = new pg.Client({ connectionString: world.databaseUrl })
    await client.connect()
    try {
      return (await client.query<Row>(sql, values)).rows
    } finally {
      await client.end()
    }
  }
  const stopFleet = async (): Promise<void> => {
    await Promise.all(fleet.map((one) => one[Symbol.asyncDispose]()))
    fleet = []
  }
  const compare = async (fileId: string, file: string): Promise<string> => {
    const wanted = contents.get(fileId)
    return wanted !== undefined && (await readFile(file)).equals(wanted) ? 'identical' : 'different'
  }

  return {
    world,
    sealfleet,
    query,
    stopFleet,
    houseLog: () => fleet.at(-1)?.log() ?? '',
    startFleet: async (workers = 2) => {
      const env = { ...world.env, ...HURRIED, ...SHORT_WAIT }
      const programs = [...Array.from({ length: workers }, () => 'main.js' as const), 'maintenance.js' as const]
      fleet = await Promise.all(programs.map((one) => startProgram(one, env, world.dir)))
    },
    refused: async (...args) => {
      const ran = await run([...args, '--json'])
      const said = ran.stdout.toString().trim()
      expect(ran.status, `sealfleet ${args.join(' ')}\n${said}`).not.toBe(0)
      const last = JSON.parse(said.split('\n').at(-1) ?? '') as {
        error?: { code: string }
        findings?: readonly { code: string }[]
      }
      return { status: ran.status, code: last.error?.code ?? last.findings?.[0]?.code ?? said }
    },
    has: async (file) => (await readdir(path.dirname(file))).includes(path.basename(file)),
    refusalOf: async (...args) => {
      const ran = await run([...args, '--json'])
      return ran.status === 0 ? null : `sealfleet ${args.join(' ')}: ${ran.stdout.toString()}${ran.stderr}`
    },
    enqueue: async (domain, name, count) => {
      const folder = path.join(world.data, domain, name)
      await mkdir(folder, { recursive: true })
      for (let n = 0; n < count; n++) {
        // Sizes of less, exactly and more than a segment among them.
        const size = [0, 1, 4_096, 2 ** 20, 2 ** 20 + 1][n] ?? 10_000 + n
        await writeFile(path.join(folder, `file-${n}`), randomBytes(size))
      }
      const ran = await sealfleet('enqueue', folder, '--domain', domain, '--context', `scenario ${domain}`, '--json')
      for (const { fileId, relativePath } of ran.json<{ files: { fileId: string; relativePath: string }[] }>().files)
        contents.set(fileId, await readFile(path.join(world.data, relativePath)))
    },
    settled: () =>
      until(async () => {
        const open = await query(`SELECT id, state FROM files WHERE state IN ('QUEUED', 'RUNNING')`)
        return open.length === 0 ? null : `${open.length} files are on their way: ${JSON.stringify(open.slice(0, 3))}`
      }),
    versionsOf: async (domain) => {
      const rows = await query<{ id: string; version: number }>(
        `SELECT f.id, k.version FROM files f JOIN attempts a ON a.id = f.committed_attempt_id
           JOIN master_keys k ON k.id = a.enc_key_id JOIN key_domains d ON d.id = f.domain_id
         WHERE f.state = 'STORED' AND d.name = $1`,
        [domain],
      )
      return new Map(rows.map(({ id, version }) => [id, version]))
    },
    census: async (domain) => {
      const out = path.join(world.dir, `out-${randomBytes(4).toString('hex')}`)
      const ran = await run(['restore', '--all', '--domain', domain, '-o', out, '--json'])
      const counts: Record<string, number> = {}
      for (const line of ran.stdout.toString().trim().split('\n')) {
        const one = JSON.parse(line) as { fileId?: string; path?: string; output?: string; error?: { code: string } }
        if (one.fileId === undefined) continue
        const outcome = one.error?.code ?? (await compare(one.fileId, one.output ?? path.join(out, one.path ?? '')))
        counts[outcome] = (counts[outcome] ?? 0) + 1
      }
      if (counts['identical'] === undefined) expect(await readdir(out).catch(() => [])).toEqual([])
      await rm(out, { recursive: true, force: true })
      return counts
    },
    objects: async () => {
      using store = await openBucket(world.env)
      const found = new Map<string, string>()
      for await (const { key, etag, length } of store.list('')) found.set(key, `${etag} ${length}`)
      return found
    },
    async [Symbol.asyncDispose]() {
      await stopFleet()
      await world[Symbol.asyncDispose]()
    },
  }
}

import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { expect } from 'vitest'
import { startProgram, type Running } from './processes.js'
import { openBucket } from './thief.js'
import type { Ran, World } from './world.js'

/** What stories about a whole fleet tell: two workers and a maintenance process, files in some domains, and what opens. */

const WAITING_PERIOD = { SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1' }
/** Everything that maintenance does, it does within a second. */
const HASTE = {
  ...WAITING_PERIOD,
  SEALFLEET_CONCURRENCY: '3',
  SEALFLEET_REKEY_CONCURRENCY: '2',
  SEALFLEET_SWEEP_SECONDS: '1',
  SEALFLEET_SWEEP_GRACE_SECONDS: '1',
  SEALFLEET_SUPERSEDED_GRACE_SECONDS: '1',
  SEALFLEET_AUDIT_CHAIN_SECONDS: '1',
  SEALFLEET_DESTROY_SECONDS: '1',
}
const PATIENCE_MS = 120_000

export interface Refusal {
  readonly status: number | null
  readonly code: string | undefined
}

export class Life implements AsyncDisposable {
  readonly world: World
  /** What was sealed, by file id. */
  readonly files = new Map<string, Buffer>()
  #fleet: Running[] = []

  constructor(world: World) {
    this.world = world
  }

  async startFleet(): Promise<void> {
    const env = { ...this.world.env, ...HASTE }
    this.#fleet = await Promise.all(
      (['worker', 'worker', 'maintenance'] as const).map((program) => startProgram(program, env, this.world.dir)),
    )
  }

  async stopFleet(): Promise<void> {
    await Promise.all(this.#fleet.map((one) => one[Symbol.asyncDispose]()))
    this.#fleet = []
  }

  /** Runs a command that must succeed. */
  async sealfleet(...args: string[]): Promise<Ran> {
    const ran = await this.world.sealfleet(args, { env: WAITING_PERIOD })
    expect(ran.status, `sealfleet ${args.join(' ')}\n${ran.stdout.toString()}${ran.stderr}`).toBe(0)
    return ran
  }

  /** Runs a command that must be refused. */
  async refused(...args: string[]): Promise<Refusal> {
    const ran = await this.world.sealfleet([...args, '--json'], { env: WAITING_PERIOD })
    expect(ran.status, `sealfleet ${args.join(' ')}\n${ran.stdout.toString()}`).not.toBe(0)
    const said = ran.stdout.toString().trim().split('\n')
    const { error } = JSON.parse(said.length === 1 ? (said[0] ?? '') : ran.stdout.toString()) as {
      error?: { code: string }
    }
    return { status: ran.status, code: error?.code }
  }

  /** Runs it again and again until it succeeds; a wrong usage never will. */
  async eventually(...args: string[]): Promise<Ran> {
    let ran: Ran | undefined
    const done = async (): Promise<boolean> => {
      ran = await this.world.sealfleet(args, { env: WAITING_PERIOD })
      expect(ran.status, ran.stdout.toString() + ran.stderr).not.toBe(2)
      return ran.status === 0
    }
    const why = () => `sealfleet ${args.join(' ')}\n${ran?.stdout.toString() ?? ''}${ran?.stderr ?? ''}`
    // A command that opens the HSM starts an agent.
    await until(done, why, 500)
    if (ran === undefined) throw new TypeError('it ran once at least')
    return ran
  }

  /** Enqueues fresh files of a domain, without waiting for them. */
  async enqueue(domain: string, name: string, sizes: readonly number[]): Promise<void> {
    const folder = path.join(this.world.data, domain, name)
    await mkdir(folder, { recursive: true })
    for (const [n, size] of sizes.entries()) await writeFile(path.join(folder, `file-${n}`), randomBytes(size))
    const ran = await this.sealfleet('enqueue', folder, '--domain', domain, '--context', `story ${domain}`, '--json')
    for (const { fileId, relativePath } of ran.json<{ files: { fileId: string; relativePath: string }[] }>().files)
      this.files.set(fileId, await readFile(path.join(this.world.data, relativePath)))
  }

  /** Until no file is waiting or under way. */
  async settled(): Promise<void> {
    let open = -1
    await until(
      async () => {
        const [row] = await this.query<{ open: number }>(
          `SELECT count(*)::int AS open FROM files WHERE state IN ('QUEUED', 'RUNNING')`,
        )
        open = row?.open ?? -1
        return open === 0
      },
      () => `${open} files are not settled`,
    )
  }

  async query<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.world.databaseUrl })
    await client.connect()
    try {
      return (await client.query<Row>(sql, values)).rows
    } finally {
      await client.end()
    }
  }

  /** Which enc version each stored file of a domain is sealed under. */
  async versionsOf(domain: string): Promise<Map<string, number>> {
    const rows = await this.query<{ id: string; version: number }>(
      `SELECT f.id, k.version FROM files f JOIN attempts a ON a.id = f.committed_attempt_id
         JOIN master_keys k ON k.id = a.enc_key_id JOIN key_domains d ON d.id = f.domain_id
       WHERE f.state = 'STORED' AND d.name = $1`,
      [domain],
    )
    return new Map(rows.map(({ id, version }) => [id, version]))
  }

  /** The state of a master key of the default domain. */
  async keyState(role: string, version: number): Promise<string | undefined> {
    const [row] = await this.query<{ state: string }>(
      `SELECT state::text FROM master_keys WHERE domain_id = '00000000-0000-0000-0000-000000000000'
         AND role = $1::key_role AND version = $2`,
      [role.toUpperCase(), version],
    )
    return row?.state
  }

  /**
   * What opens and what does not: every file is restored by the command and compared with what was sealed.
   * @returns how many came back identical, and how many failed with which code
   */
  async census(domain: string): Promise<Record<string, number>> {
    const out = path.join(this.world.dir, `out-${randomBytes(4).toString('hex')}`)
    const ran = await this.world.sealfleet(['restore', '--all', '--domain', domain, '-o', out, '--json'])
    const counts: Record<string, number> = {}
    for (const line of ran.stdout.toString().trim().split('\n')) {
      const one = JSON.parse(line) as { fileId?: string; path?: string; output?: string; error?: { code: string } }
      if (one.fileId === undefined) continue
      const outcome = one.error?.code ?? (await this.#compare(one.fileId, one.output ?? path.join(out, one.path ?? '')))
      counts[outcome] = (counts[outcome] ?? 0) + 1
    }
    if (counts['identical'] === undefined) expect(await readdir(out).catch(() => [])).toEqual([])
    await rm(out, { recursive: true, force: true })
    return counts
  }

  /** Object key → ETag and length. */
  async objects(): Promise<Map<string, string>> {
    using store = await openBucket(this.world.env)
    const found = new Map<string, string>()
    for await (const { key, etag, length } of store.list('')) found.set(key, `${etag} ${length}`)
    return found
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopFleet()
    await this.world[Symbol.asyncDispose]()
  }

  async #compare(fileId: string, file: string): Promise<string> {
    const wanted = this.files.get(fileId)
    return wanted !== undefined && (await readFile(file)).equals(wanted) ? 'identical' : 'different'
  }
}

/** Asks until it is so. Throws with `why` when it takes too long. */
export async function until(what: () => Promise<boolean>, why: () => string, everyMs = 100): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await what())) {
    if (performance.now() > end) throw new Error(`not so within ${PATIENCE_MS / 1000} s: ${why()}`)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

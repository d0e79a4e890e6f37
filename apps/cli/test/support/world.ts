import { spawn } from 'node:child_process'
import path from 'node:path'
import { Readable, Writable } from 'node:stream'
import type { S3ServerKind } from '@sealfleet/testkit'
import { startFleet } from '@sealfleet/testkit/fleet'
import { run } from '../../src/program.js'
import { maintenanceHere, workerHere } from './running.js'

const BIN = path.resolve(import.meta.dirname, '../../bin/sealfleet.mjs')

/** What a finished command left behind. */
export interface Ran {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: string
  /** standard output as one JSON document */
  json<T>(): T
}

export interface World extends AsyncDisposable {
  /** every setting of a private fleet: database, token, bucket, queue prefix, roots */
  readonly env: Readonly<Record<string, string>>
  /** the root `data` */
  readonly data: string
  readonly dir: string
  readonly databaseUrl: string
  /** runs the command line in this process: starting Node each time would be most of the time */
  sealfleet(args: readonly string[], o?: RunOptions): Promise<Ran>
  /** the same as `sealfleet` */
  inProcess(args: readonly string[], o?: RunOptions): Promise<Ran>
  /** runs the built command as a process of its own to its end: for exit statuses, pipes and what only the whole program shows */
  spawned(args: readonly string[], o?: RunOptions): Promise<Ran>
  /** starts it and leaves it to the caller */
  start(args: readonly string[], o?: RunOptions): ReturnType<typeof spawn>
  /** starts one worker, with these variables added; resolves when it takes jobs */
  worker(added?: Readonly<Record<string, string>>): Promise<AsyncDisposable>
  /** starts maintenance; resolves when its tasks run */
  maintenance(): Promise<AsyncDisposable>
}

export interface RunOptions {
  readonly cwd?: string
  /** added; undefined takes a variable away */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** A fleet of its own on the shared test servers: nothing of it is seen by other suites. */
export async function createWorld(
  o: { store?: S3ServerKind; versioning?: boolean; retentionDays?: number } = {},
): Promise<World> {
  const { store, ...options } = o
  const fleet = await startFleet({ ...options, ...(store !== undefined && { s3: store }), rootName: 'data' })
  const { SEALFLEET_PKCS11_PIN_FILE: _, ...addresses } = fleet.env
  const { dir, root: data, database, token } = fleet
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    HOME: dir,
    ...token.env,
    ...addresses,
    SEALFLEET_PKCS11_PIN: token.pin,
    SEALFLEET_HSM_AGENTS: '1',
    SEALFLEET_HSM_SESSIONS: '4',
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
  }
  const merged = (run: RunOptions): Record<string, string> => {
    const all = { ...env, ...run.env }
    return Object.fromEntries(
      Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    )
  }
  const start = (args: readonly string[], run: RunOptions = {}) => {
    return spawn(process.execPath, [BIN, ...args], { cwd: run.cwd ?? data, env: merged(run) })
  }
  const inProcess: World['sealfleet'] = (args, options = {}) =>
    runInProcess(args, { cwd: options.cwd ?? data, env: merged(options) })
  return {
    env,
    data,
    dir,
    databaseUrl: database.url,
    start,
    sealfleet: inProcess,
    inProcess,
    spawned: async (args, run) => finished(start(args, run)),
    worker: (added = {}) => workerHere({ ...env, ...added }),
    maintenance: () => maintenanceHere(env),
    [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose](),
  }
}

/** Reads a child to its end. */
export async function finished(child: ReturnType<typeof spawn>): Promise<Ran> {
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended = await new Promise<Pick<Ran, 'status' | 'signal'>>((resolve) => {
    child.once('close', (status, signal) => resolve({ status, signal }))
  })
  const bytes = Buffer.concat(stdout)
  return { ...ended, stdout: bytes, stderr, json: <T>() => JSON.parse(bytes.toString()) as T }
}

async function runInProcess(args: readonly string[], o: { cwd: string; env: Record<string, string> }): Promise<Ran> {
  const chunks: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] }
  const sink = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks[name].push(Buffer.from(chunk))
        done()
      },
    })
  const status = await run(args, {
    ...o,
    stdin: Readable.from([]),
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    user: 'tester',
    signal: new AbortController().signal,
  })
  const stdout = Buffer.concat(chunks.stdout)
  const stderr = Buffer.concat(chunks.stderr).toString()
  return { status, signal: null, stdout, stderr, json: <T>() => JSON.parse(stdout.toString()) as T }
}

/**
 * A stranger's empty project: the packages are made, installed from their `.tgz` files, and each example of their
 * README runs as it is written, against real services with a worker and maintenance.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { openRecords } from '@sealfleet/records'
import { createToken } from '@sealfleet/records/tokens'
import { tempDir, type TempDir } from '@sealfleet/testkit'
import { makeKeys, startFleet, type TestFleet } from '@sealfleet/testkit/fleet'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startRedis, type PrivateRedis } from '../../packages/queue/test/private-redis.js'
import { bundleFolder } from '../lib/bundle.mjs'
import { checkout } from '../lib/places.mjs'
import { freePort } from '../lib/ports.mjs'

const run = promisify(execFile)
const README = await readFile(path.join(checkout, 'packages/client/README.md'), 'utf8')

/** What each example prints, in the order of the README: an example without a line here fails the first test. */
const PRINTS: readonly (readonly [title: string, printed: RegExp])[] = [
  ['Store, wait, read back', /^STORED\nworld\ntrue\nDELETED\n$/],
  [
    'Many files over HTTP',
    /^file 2500: PAYLOAD_INVALID\nMap\(2\) \{ 'queued' => 2500, 'invalid' => 1 \}\nSTORED undefined\n2026\/c.pdf\n$/,
  ],
  ['Through Postgres and Redis', /state: 'STORED',[^]*domain: 'default'[^]*length: 11,/],
  ['Many files', /^file 2500: PAYLOAD_INVALID, .*\nMap\(2\) \{ 'queued' => 2500, 'invalid' => 1 \}\n$/],
  ['Inside your own transaction', /^committed\nSTORED\n$/],
  ['Webhooks', /^msg_1 file\.stored\n$/],
  ['Errors', /^DB_UNAVAILABLE true Ask again/],
]

interface Example {
  readonly title: string
  readonly code: string
}

const examples = ((): readonly Example[] => {
  const found: Example[] = []
  let title = ''
  for (const [, heading, code] of README.matchAll(/^#+ (.*)$|^```js\n([^]*?)^```/gm)) {
    if (heading !== undefined) title = heading
    if (code !== undefined) found.push({ title, code })
  }
  return found
})()

/** `npm run pack:NAME`. @returns the path that its last line is */
async function pack(name: string): Promise<string> {
  const { stdout } = await run('npm', ['run', `pack:${name}`], { cwd: checkout })
  return stdout.trimEnd().split('\n').at(-1) ?? ''
}

/** Installs packages into a project, from npm's cache where it has them. */
async function install(folder: string, packages: readonly string[]): Promise<void> {
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...packages], { cwd: folder })
}

/** The very versions of the checkout, which npm's cache has. */
async function pinned(names: readonly string[]): Promise<readonly string[]> {
  const lock = JSON.parse(await readFile(path.join(checkout, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { version: string }>>
  }
  return names.map((name) => `${name}@${lock.packages[`node_modules/${name}`]?.version ?? 'latest'}`)
}

let project: TempDir
beforeAll(async () => {
  project = await tempDir()
  await writeFile(path.join(project.path, 'package.json'), '{ "name": "a-stranger", "private": true }')
  await install(project.path, [await pack('client'), ...(await pinned(['pg', 'bullmq', 'ioredis']))])
  for (const [n, { code }] of examples.entries()) await writeFile(path.join(project.path, `example-${n}.mjs`), code)
})
afterAll(() => project[Symbol.asyncDispose]())

test('every example of the README is run, and has a line that says what it prints', () => {
  expect(examples.map(({ title }) => title)).toEqual(PRINTS.map(([title]) => title))
})

test('the package has no other dependencies, and names what it has bundled', async () => {
  const folder = path.join(project.path, 'node_modules/@sealfleet')
  expect(await readdir(folder)).toEqual(['client'])
  const manifest = JSON.parse(await readFile(path.join(folder, 'client/package.json'), 'utf8')) as object
  expect(manifest).not.toHaveProperty('dependencies')
  expect(manifest).not.toHaveProperty('private')
  expect(await readFile(path.join(folder, 'client/THIRD-PARTY-LICENSES.txt'), 'utf8')).toMatch(/^zod \d/m)
})

test('over HTTP nothing else is loaded: the entry imports Node alone', async () => {
  const folder = path.join(project.path, 'node_modules/@sealfleet/client/dist')
  const seen = new Set<string>()
  const imports = async (file: string): Promise<void> => {
    const text = await readFile(path.join(folder, file), 'utf8')
    for (const [, from = ''] of text.matchAll(/^(?:import|export) .*?from "([^"]+)"/gm)) {
      if (seen.has(from)) continue
      seen.add(from)
      if (from.startsWith('.')) await imports(path.join(path.dirname(file), from))
    }
  }
  await imports('index.js')
  expect([...seen].filter((from) => !from.startsWith('.') && !from.startsWith('node:'))).toEqual([])
  const { size } = await stat(path.join(folder, 'index.js'))
  expect(size).toBeLessThan(60_000)
})

test('a driver that is not installed is named', async () => {
  await using bare = await tempDir()
  await writeFile(path.join(bare.path, 'package.json'), '{ "name": "bare", "private": true }')
  await install(bare.path, [path.join(checkout, 'dist', 'sealfleet-client-0.1.0.tgz'), '--omit=peer'])
  const code = `import { openDirectClient } from '@sealfleet/client/direct'
    await openDirectClient({ databaseUrl: 'postgres://127.0.0.1:9/x' }).catch((e) => console.log(e.code, e.fix))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: bare.path })
  expect(stdout).toBe('CONFIG_INVALID npm install pg\n')
})

test('a strict TypeScript project compiles against it', async () => {
  const types = await tempDir()
  await using _ = types
  await writeFile(path.join(types.path, 'package.json'), '{ "name": "typed", "private": true, "type": "module" }')
  const tgz = path.join(checkout, 'dist', 'sealfleet-client-0.1.0.tgz')
  await install(types.path, [tgz, ...(await pinned(['typescript', '@types/node', '@types/pg']))])
  for (const [n, { code }] of examples.entries()) await writeFile(path.join(types.path, `example-${n}.ts`), code)
  const tsc = path.join(types.path, 'node_modules/typescript/bin/tsc')
  const options = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node', '--noEmit']
  const files = examples.map((_, n) => `example-${n}.ts`)
  const { stdout } = await run(process.execPath, [tsc, ...options, ...files], { cwd: types.path }).catch(
    (error: { stdout: string }) => error,
  )
  expect(stdout).toBe('')
})

/** The settings of the fleet below, without those that the README's examples do not have. */
let settings: NodeJS.ProcessEnv

describe('with a fleet', () => {
  let fleet: Omit<TestFleet, 'bucket'>
  let redis: PrivateRedis
  let port: string
  let token: string
  const programs: ChildProcess[] = []
  beforeAll(async () => {
    fleet = await startFleet({ rootName: 'inbox' })
    // The examples name no prefix, so they have a Redis of their own.
    redis = await startRedis()
    const records = await openRecords(fleet.database.url)
    await makeKeys(records, fleet.token, { id: 'default' })
    await makeKeys(records, fleet.token, { id: '0190b3c0-0000-7000-8000-00000000d0d0', name: 'invoices' })
    const scopes = ['enqueue', 'read', 'verify', 'remove'] as const
    const input = { name: 'stranger', scopes, domains: null, expiresSeconds: 3_600, createdBy: 'test' }
    token = (await createToken(records, input)).text
    await records.close()
    await mkdir(path.join(fleet.root, '2026'))
    for (const name of ['a.pdf', 'b.pdf', 'c.pdf', 'd.pdf'])
      await writeFile(path.join(fleet.root, '2026', name), 'hello world')
    const { SEALFLEET_QUEUE_PREFIX: _, ...rest } = fleet.env
    settings = { PATH: process.env['PATH'], ...rest, ...fleet.token.env, SEALFLEET_REDIS_URL: redis.url }
    port = String(await freePort())
    const ports = { SEALFLEET_WORKER_PORT: '0', SEALFLEET_MAINTENANCE_PORT: '0', SEALFLEET_GATEWAY_PORT: port }
    const env = { ...process.env, ...settings, ...ports }
    for (const program of ['worker', 'maintenance', 'gateway'])
      programs.push(
        spawn(process.execPath, [path.join(bundleFolder, `${program}.mjs`)], { env, stdio: ['ignore', 'ignore', 2] }),
      )
    const ready = async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.status
    await vi.waitFor(async () => expect(await ready()).toBe(200), { timeout: 60_000, interval: 100 })
  })
  afterAll(async () => {
    for (const child of programs) {
      const ended = child.exitCode === null ? once(child, 'exit') : undefined
      child.kill('SIGTERM')
      await ended
    }
    await redis?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
  })

  test.each(examples.map(({ title }, n) => [title, n] as const))('%s: runs as written', async (_, n) => {
    const env = {
      ...{ PATH: process.env['PATH'], DATABASE_URL: fleet.database.url, REDIS_URL: redis.url },
      ...{ GATEWAY_URL: `http://127.0.0.1:${port}`, GATEWAY_TOKEN: token },
    }
    const { stdout } = await run(process.execPath, [`example-${n}.mjs`], { cwd: project.path, env })
    expect(stdout).toMatch(PRINTS[n]?.[1] ?? /$^/)
  })

  describe('the command line, installed globally', () => {
    let prefix: TempDir
    const sealfleet = (...args: string[]) =>
      run(path.join(prefix.path, 'bin/sealfleet'), args, { cwd: prefix.path, env: settings })
    beforeAll(async () => {
      prefix = await tempDir()
      const scripts = '--allow-scripts=sealfleet,pkcs11js'
      await install(prefix.path, ['--global', '--prefix', prefix.path, scripts, await pack('cli')])
    })
    afterAll(() => prefix[Symbol.asyncDispose]())

    test('it has its version, its native kernel, and of the fleet nothing that it does not use', async () => {
      const { stdout } = await sealfleet('--version')
      const home = path.join(prefix.path, 'lib/node_modules/sealfleet')
      const { version } = JSON.parse(await readFile(path.join(home, 'package.json'), 'utf8')) as { version: string }
      expect(stdout.trim()).toBe(version)
      expect(existsSync(path.join(home, 'packages/kernel/build/Release/kernel.node'))).toBe(true)
      expect(await readdir(path.join(home, 'node_modules'))).toEqual(['pkcs11js'])
      expect(await readFile(path.join(home, 'THIRD-PARTY-LICENSES.txt'), 'utf8')).toMatch(/^commander \d/m)
    })

    test('it examines a fleet, stores a file, finds it and brings it back', async () => {
      const { stdout } = await sealfleet('doctor', '--json')
      const { findings } = JSON.parse(stdout) as { findings: { check: string; state: string }[] }
      expect(findings.filter(({ state }) => state === 'failed')).toEqual([])
      await writeFile(path.join(fleet.root, 'by-hand'), 'by hand')
      await sealfleet('enqueue', path.join(fleet.root, 'by-hand'), '--id', 'by hand', '--wait')
      expect((await sealfleet('status', 'by hand')).stdout).toContain('STORED')
      await sealfleet('restore', 'by hand', '-o', 'copy')
      expect(await readFile(path.join(prefix.path, 'copy'), 'utf8')).toBe('by hand')
    })

    test('it brings the migrations of its version', async () => {
      const migrate = path.join(prefix.path, 'bin/sealfleet-migrate')
      const { stdout } = await run(migrate, ['--status', '--json'], { env: settings })
      expect(JSON.parse(stdout)).toMatchObject({ pending: [], failed: [], changed: [] })
    })
  })
})

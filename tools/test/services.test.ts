import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type TempDir, tempDir } from '@sealfleet/testkit'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { adminUrl, applicationDatabase } from '../lib/postgres.mjs'
import { startServices, statusOfServices, stopServices } from '../lib/private-services.mjs'
import { endProcess, identify, isRunning } from '../lib/processes.mjs'
import { redisUrl } from '../lib/redis.mjs'
import type { ServiceState } from '../lib/service-state.mjs'

const script = fileURLToPath(new URL('../services.mjs', import.meta.url))
const run = promisify(execFile)
let directory: TempDir
let home: string

beforeEach(async () => {
  directory = await tempDir()
  home = join(directory.path, 'home')
})

afterEach(async () => {
  await stopServices({ home, names: ['redis', 'postgres'] })
  const elsewhere = join(home, 'postgres', 'directory')
  if (existsSync(elsewhere)) await rm((await readFile(elsewhere, 'utf8')).trim(), { recursive: true, force: true })
  await directory[Symbol.asyncDispose]()
})

/** The record of a running service; fails the test when it has none. */
function recordOf(state: ServiceState, name: string) {
  const { port, process } = state.services[name] ?? {}
  if (!port || !process) throw new Error(`${name} has no port or process`)
  return { port, process }
}

const start = async (name: string) => recordOf(await startServices({ home, names: [name] }), name)

async function withRedis<T>(port: number, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(await redisUrl(home, port))
  try {
    return await work(redis)
  } finally {
    redis.disconnect()
  }
}

async function withPostgres<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

describe('a private service', () => {
  it('is started once, by however many scripts at once', async () => {
    const starts = await Promise.all(
      [1, 2, 3].map(() => run(process.execPath, [script, 'start', '--home', home, '--only', 'redis', '--json'])),
    )
    const pids = starts.map(({ stdout }) => (JSON.parse(stdout) as { pid: number }[])[0]?.pid)
    expect(new Set(pids).size).toBe(1)
  })

  it('keeps its port and its data when it was killed', async () => {
    const first = await start('redis')
    await withRedis(first.port, (redis) => redis.set('kept', 'yes'))
    await endProcess(first.process, 'SIGKILL')
    expect(await statusOfServices(home)).toMatchObject([{ name: 'redis', state: 'stopped' }])
    const second = await start('redis')
    expect(second.port).toBe(first.port)
    expect(second.process.pid).not.toBe(first.process.pid)
    expect(await withRedis(second.port, (redis) => redis.get('kept'))).toBe('yes')
  })

  it('is replaced, not doubled, when its record was lost', async () => {
    const first = await start('redis')
    await rm(join(home, 'services.json'))
    await start('redis')
    expect(isRunning(first.process)).toBe(false)
  })

  it('never ends a stranger that has its old pid', async () => {
    await start('redis')
    await stopServices({ home })
    const stranger = spawn('sleep', ['600'])
    try {
      const { pid = 0 } = stranger
      const path = join(home, 'services.json')
      const state = JSON.parse(await readFile(path, 'utf8')) as ServiceState
      const { bootId = '' } = identify(process.pid) ?? {}
      state.services['redis'] = { ...state.services['redis'], process: { pid, startTime: '1', bootId } }
      await writeFile(path, JSON.stringify(state))
      await stopServices({ home })
      expect(identify(pid)).toBeDefined()
    } finally {
      stranger.kill()
    }
  })

  it('moves to another port when a stranger has taken its own', async () => {
    const { port } = await start('redis')
    await stopServices({ home })
    const stranger = createServer().listen(port, '127.0.0.1')
    await once(stranger, 'listening')
    try {
      const moved = await start('redis')
      expect(moved.port).not.toBe(port)
      expect(await withRedis(moved.port, (redis) => redis.ping())).toBe('PONG')
    } finally {
      stranger.close()
    }
  })

  it('that cannot start names its log and shows the log’s end', async () => {
    await start('redis')
    await stopServices({ home })
    await rm(join(home, 'redis', 'appendonlydir'), { recursive: true })
    await writeFile(join(home, 'redis', 'appendonlydir'), 'not a directory')
    const failure = startServices({ home, names: ['redis'] })
    await expect(failure).rejects.toThrow(
      /Redis ended at once \(1\)\.\nIts log is .*redis\.log; the last lines:\n.*appendonlydir/s,
    )
  })

  it('lets the user that Postgres runs as pass, even where the umask or an earlier step closed the way', async () => {
    await mkdir(home, { mode: 0o700 })
    const umask = process.umask(0o077)
    try {
      await startServices({ home, names: ['softhsm'] })
      expect((await stat(home)).mode & 0o777).toBe(0o711)
    } finally {
      process.umask(umask)
    }
  })

  it('leaves no secret readable by others', async () => {
    await startServices({ home, names: ['redis', 'softhsm'] })
    const secrets = ['services.json', 'redis/password', 'redis/redis.conf', 'softhsm/pin', 'softhsm/so-pin']
    for (const name of secrets) expect([name, (await stat(join(home, name))).mode & 0o077]).toEqual([name, 0])
  })
})

describe('private Postgres', () => {
  it('starts again after an interrupted initdb and with a stranger’s pid in its lock file', async () => {
    const first = await start('postgres')
    const url = await applicationDatabase({ home, port: first.port, name: 'app' })
    await withPostgres(url, (client) => client.query('create table kept as select 1 as one'))
    await stopServices({ home })
    const owned = (await readFile(join(home, 'postgres', 'directory'), 'utf8')).trim()
    await mkdir(join(owned, 'data.unfinished'))
    await writeFile(join(owned, 'data', 'postmaster.pid'), `${process.pid}\n${join(owned, 'data')}\n1\n`)
    const second = await start('postgres')
    expect(await applicationDatabase({ home, port: second.port, name: 'app' })).toBe(url)
    expect((await withPostgres(url, (client) => client.query('select one from kept'))).rows).toEqual([{ one: 1 }])
  })

  it('lets no one in without the password, and gives the application no more than its database', async () => {
    const { port } = await start('postgres')
    const url = await applicationDatabase({ home, port, name: 'app' })
    const wrong = new URL(url)
    wrong.password = 'wrong'
    await expect(withPostgres(wrong.href, (client) => client.query('select 1'))).rejects.toThrow(
      'password authentication',
    )
    await expect(withPostgres(url, (client) => client.query('create role more'))).rejects.toThrow('permission denied')
    expect(await adminUrl(home, port)).toContain(`@127.0.0.1:${port}/postgres`)
  })
})

describe('the SoftHSM token', () => {
  it('is made once, and made again when its making was interrupted', async () => {
    await mkdir(join(home, 'softhsm', 'unfinished', 'tokens', 'half'), { recursive: true })
    const first = await startServices({ home, names: ['softhsm'] })
    const { module = '', conf = '', label = '', pinFile = '' } = first.services['softhsm']?.details ?? {}
    const again = await startServices({ home, names: ['softhsm'] })
    expect(again.services['softhsm']).toEqual(first.services['softhsm'])
    const login = [
      '--module',
      module,
      '--token-label',
      label,
      '--login',
      '--pin',
      await readFile(pinFile, 'utf8'),
      '-O',
    ]
    await run('pkcs11-tool', login, { env: { ...process.env, SOFTHSM2_CONF: conf } })
  })
})

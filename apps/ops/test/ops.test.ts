import { openIngestClient, QUEUES, toFileId } from '@sealfleet/queue'
import { acceptFiles, claimFile, getFile } from '@sealfleet/records/files'
import { ensureDomain } from '@sealfleet/records/fleet'
import { failAttempt } from '@sealfleet/records/attempts'
import { openRecords } from '@sealfleet/records'
import { freshDatabase, freshPrefix, redisUrl, type FreshDatabase } from '@sealfleet/testkit'
import { Queue } from 'bullmq'
import { spawn, type ChildProcess } from 'node:child_process'
import { Redis } from 'ioredis'
import { once } from 'node:events'
import { request } from 'node:http'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const MAIN = path.resolve(import.meta.dirname, '../../../bundle/ops.mjs')

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** fetch forbids a Host header of one's own; this doesn't. */
function ask(port: number, url: string, o: { method?: string; host?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = o.host === undefined ? {} : { host: o.host }
    const sent = request({ port, host: '127.0.0.1', path: url, method: o.method ?? 'GET', headers }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

function own<T extends object>(one: T, end: (one: T) => unknown): T & AsyncDisposable {
  return Object.assign(one, { [Symbol.asyncDispose]: async () => void (await end(one)) })
}

let database: FreshDatabase
let child: ChildProcess
let port: number
let queue: Queue
const prefix = freshPrefix()
let env: Record<string, string>

async function startOps(settings: Record<string, string>): Promise<{ child: ChildProcess; port: number }> {
  const started = spawn(process.execPath, [MAIN], { env: settings, stdio: ['ignore', 'pipe', 'inherit'] })
  const at = await new Promise<number>((resolve, reject) => {
    let said = ''
    started.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const found = /^http:\/\/127\.0\.0\.1:(\d+)\/$/m.exec(said)
      if (found) resolve(Number(found[1]))
    })
    started.once('close', () => reject(new Error(`ops ended: ${said}`)))
  })
  return { child: started, port: at }
}

beforeAll(async () => {
  database = await freshDatabase()
  env = {
    PATH: process.env['PATH'] ?? '',
    SEALFLEET_DATABASE_URL: database.url,
    SEALFLEET_REDIS_URL: redisUrl(),
    SEALFLEET_QUEUE_PREFIX: prefix,
    SEALFLEET_OPS_PORT: '0',
  }
  queue = new Queue(QUEUES.ingest, { connection: { url: redisUrl() }, prefix })
  await using records = await openRecords(database.url)
  await ensureDomain(records, { id: 'default' })
  await using ingest = await openIngestClient({
    redisUrl: redisUrl(),
    prefix,
    accept: (files) => acceptFiles(records, files),
  })
  await ingest.client.enqueue({ id: 'one', root: 'data', path: 'invoices/one.pdf', context: Buffer.from('tenant') })
  await queue.add('a name that <b>lies</b>', { v: 1, password: 'hunter2' }, { jobId: 'stranger' })
  ;({ child, port } = await startOps(env))
})
afterAll(async () => {
  child.kill('SIGKILL')
  await queue.obliterate({ force: true })
  await queue.close()
  await database[Symbol.asyncDispose]()
})

describe('ops', () => {
  it('says that it lives and is ready', async () => {
    expect((await ask(port, '/healthz')).body).toBe('{"status":"ok"}')
    const ready = await ask(port, '/readyz')
    expect([ready.status, JSON.parse(ready.body)]).toEqual([
      200,
      { ready: true, checks: { redis: 'ok', fleet: 'ok', postgres: 'ok' }, reasons: {} },
    ])
  })

  it('has the error’s own advice in its last line when it cannot start', async () => {
    await using empty = await freshDatabase({ schema: 'empty' })
    const stopped = spawn(process.execPath, [MAIN], { env: { ...env, SEALFLEET_DATABASE_URL: empty.url } })
    let log = ''
    stopped.stdout.on('data', (chunk: Buffer) => (log += chunk.toString()))
    expect((await once(stopped, 'close'))[0]).toBe(6)
    expect(log).toContain('ops cannot continue: run `npm run migrate`"')
  })

  it('shows the board, all of it from here, under a policy without inline scripts', async () => {
    expect((await ask(port, '/')).headers['location']).toBe('/queues/')
    const page = await ask(port, '/queues/')
    expect(page.status).toBe(200)
    expect(page.body).toContain('<title>Sealfleet</title>')
    const inline = [...page.body.matchAll(/<script([^>]*)>/g)].filter(
      ([, attributes]) => !/src=|application\/json/.test(attributes ?? ''),
    )
    expect(inline).toEqual([])
    for (const [, source] of page.body.matchAll(/<script[^>]* src="([^"]+)"/g)) {
      expect((await ask(port, `/queues/${source}`)).status, source).toBe(200)
    }
    expect(page.headers).toMatchObject({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    })
    expect(page.headers['content-security-policy']).toMatch(/default-src 'none'; script-src 'self';/)
    expect(page.headers['x-powered-by']).toBeUndefined()
  })

  it('shows jobs by the fields of the contract and nothing else of them', async () => {
    const { body } = await ask(port, '/queues/api/queues?activeQueue=ingest&status=waiting&page=1&jobsPerPage=10')
    expect(body).toContain('"path":"invoices/one.pdf"')
    expect(body).not.toMatch(/hunter2|password|dGVuYW50|<b>/)
  })

  it('shows the others when a job or a list cannot be read, and the broken one by its id', async () => {
    const other = freshPrefix()
    const started = await startOps({ ...env, SEALFLEET_QUEUE_PREFIX: other, NODE_ENV: 'development' })
    await using redis = own(new Redis(redisUrl()), (one) => one.disconnect())
    const good = new Queue(QUEUES.ingest, { connection: { url: redisUrl() }, prefix: other })
    try {
      const base = `${other}:${QUEUES.ingest}:`
      const whole = { name: 'ingest', data: '{}', opts: '{}', timestamp: '1', delay: '0', priority: '0' }
      const made = await good.add('ingest', { v: 1 }, { jobId: 'sound' })
      const broken: Readonly<Record<string, Readonly<Record<string, string>> | string | undefined>> = {
        'no-hash': undefined,
        'a-string': 'a string',
        'no-data': { name: 'ingest' },
        'no-json': { ...whole, data: '{"v":1,' },
        'opts-null': { ...whole, opts: 'null' },
        'opts-text': { ...whole, opts: 'attempts=3' },
        progress: { ...whole, progress: 'half' },
        words: { ...whole, timestamp: 'soon', atm: 'some', stacktrace: '"none"' },
        trace: { ...whole, failedReason: 'at /srv/x.js:1', stacktrace: '["Error\\n at /srv/x.js:1"]', finishedOn: '2' },
        parent: { ...whole, parent: '{' },
        meta: undefined,
        events: undefined,
      }
      for (const [id, hash] of Object.entries(broken)) {
        if (typeof hash === 'string') await redis.set(base + id, hash)
        else if (hash !== undefined) await redis.hset(base + id, hash)
        await redis.rpush(`${base}wait`, id)
        await redis.zadd(`${base}delayed`, 1, `${id}-not`)
      }
      for (const status of ['waiting', 'latest', 'delayed']) {
        const url = `/queues/api/queues?activeQueue=ingest&status=${status}&page=1&jobsPerPage=50`
        const { status: code, body } = await ask(started.port, url)
        expect([code, body]).toEqual([200, expect.not.stringMatching(/\/srv|node_modules|\.js:/)])
        const { queues } = JSON.parse(body) as { queues: { name: string; jobs: { id: string }[] }[] }
        const ids = queues.find(({ name }) => name === 'ingest')?.jobs.map(({ id }) => id)
        const all = Object.keys(broken)
        if (status === 'delayed')
          expect(ids).toEqual(
            all
              .map((id) => `${id}-not`)
              .sort()
              .reverse(),
          )
        else expect(ids).toEqual(expect.arrayContaining([made.id, ...all]))
      }
      for (const id of ['sound', ...Object.keys(broken)]) {
        for (const part of ['', '/logs', '/flow']) {
          const { status, body } = await ask(started.port, `/queues/api/queues/ingest/${id}${part}`)
          expect([id, status, body]).toEqual([id, 200, expect.not.stringMatching(/\/srv|node_modules|\.js:/)])
        }
      }
      // A job of the name of a list: BullMQ makes a hash of it.
      await redis.hset(`${base}completed`, { processedOn: '1' })
      const { body } = await ask(started.port, '/metrics')
      expect(body).toContain('sealfleet_queue_jobs{queue="ingest",state="waiting",program="ops"} 13')
      expect(body).toContain('sealfleet_ops_source_up{source="redis",program="ops"} 1')
      expect((await ask(started.port, '/queues/api/queues')).status).toBe(200)
    } finally {
      started.child.kill('SIGKILL')
      await good.close()
      const keys = await redis.keys(`${other.replace(/[[\]]/g, '\\$&')}*`)
      if (keys.length > 0) await redis.del(keys)
    }
  })

  it('tells no browser what failed: neither words, nor a stack, nor a path', async () => {
    const malformed = await ask(port, '/queues/api/queues/ingest/%E0%A4%A')
    expect([malformed.status, malformed.body]).toEqual([400, expect.stringMatching(/^[^/]*cannot be read[^/]*$/)])
    const meta = `${prefix}:${QUEUES.verify}:meta`
    await using redis = own(new Redis(redisUrl()), (one) => one.disconnect())
    const before = await redis.hgetall(meta)
    await redis.set(meta, 'no hash')
    try {
      expect((await ask(port, '/queues/api/queues?activeQueue=verify')).status).toBe(200)
    } finally {
      await redis.del(meta)
      await redis.hset(meta, before)
    }
  })

  it('changes nothing: every other method is refused', async () => {
    for (const [method, url] of [
      ['PUT', '/queues/api/queues/ingest/pause'],
      ['POST', '/queues/api/queues/ingest/add'],
      ['PUT', '/queues/api/queues/ingest/clean/completed'],
      ['DELETE', '/metrics'],
    ] as const) {
      expect((await ask(port, url, { method })).status, url).toBe(405)
    }
    expect(await queue.isPaused()).toBe(false)
    expect(await queue.count()).toBe(2)
  })

  it('answers to no name that a stranger could register', async () => {
    for (const url of ['/', '/metrics', '/queues/', '/healthz']) {
      expect((await ask(port, url, { host: 'rebound.example' })).status, url).toBe(421)
    }
    expect((await ask(port, '/healthz', { host: `localhost:${port}` })).status).toBe(200)
  })

  it('gives Prometheus the files that failed and are tried again, by code', async () => {
    await using records = await openRecords(env['SEALFLEET_DATABASE_URL'] ?? '')
    const fileId = toFileId('one')
    const { file } = (await getFile(records, fileId))!
    const { domain, source, context, fingerprint } = file
    await claimFile(records, { fileId, domain, source, context, fingerprint, owner: 'w', leaseSeconds: 60 })
    const end = { fileId, owner: 'w', attemptNo: 1, code: 'SOURCE_BUSY', class: 'transient-source', message: 'busy' }
    await failAttempt(records, { ...end, disposition: 'retry' })
    const { body } = await ask(port, '/metrics')
    expect(body).toContain('sealfleet_retrying_files{code="SOURCE_BUSY",program="ops"} 1')
    expect(body).toMatch(/^sealfleet_retrying_oldest_seconds\{code="SOURCE_BUSY",program="ops"\} \d/m)
  })

  it('gives Prometheus the books and the depth of every queue', async () => {
    const { body, headers } = await ask(port, '/metrics')
    expect(headers['content-type']).toMatch(/^text\/plain;.*version=0\.0\.4/)
    expect(body).toContain('sealfleet_conservation_imbalance_files{program="ops"} 0')
    expect(body).toContain('sealfleet_files{state="queued",program="ops"} 1')
    expect(body).toContain('sealfleet_queue_jobs{queue="ingest",state="waiting",program="ops"} 2')
    expect(body).toContain('sealfleet_queue_paused{queue="maintenance",program="ops"} 0')
  })

  it('is not ready without Postgres, keeps living, and shows no stale figures', async () => {
    const own = await freshDatabase()
    const other = await startOps({ ...env, SEALFLEET_DATABASE_URL: own.url })
    try {
      await own[Symbol.asyncDispose]()
      const ready = await ask(other.port, '/readyz')
      expect([ready.status, JSON.parse(ready.body)]).toEqual([
        503,
        {
          ready: false,
          checks: { redis: 'ok', fleet: 'ok', postgres: 'unreachable' },
          reasons: { postgres: expect.stringMatching(/^DB_|^no answer/) as string },
        },
      ])
      expect((await ask(other.port, '/healthz')).status).toBe(200)
      const { body } = await ask(other.port, '/metrics')
      expect(body).toContain('sealfleet_ops_source_up{source="postgres",program="ops"} 0')
      expect(body).not.toMatch(/^sealfleet_(conservation|files)[^\n]* \d/m)
    } finally {
      other.child.kill('SIGKILL')
    }
  })

  it('ends with 0 when asked to stop, 2 on wrong settings, 6 without Redis', async () => {
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
    const ends = async (settings: Record<string, string>): Promise<unknown> => {
      const ended = spawn(process.execPath, [MAIN], { env: { ...env, ...settings }, stdio: 'ignore' })
      return (await once(ended, 'exit'))[0]
    }
    expect(await ends({ SEALFLEET_REDIS_URL: 'nonsense' })).toBe(2)
    expect(await ends({ SEALFLEET_REDIS_URL: 'redis://127.0.0.1:1' })).toBe(6)
  })
})

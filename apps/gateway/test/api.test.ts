import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { toFileId } from '@sealfleet/queue'
import { listAudit } from '@sealfleet/records/audit'
import { placeHold } from '@sealfleet/records/deletion'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startWorld, type World } from './support.js'

let world: World
let worker: AsyncDisposable
let acmeOnly: string
beforeAll(async () => {
  world = await startWorld()
  worker = await world.worker()
  acmeOnly = await world.newToken(['enqueue', 'read', 'verify', 'remove', 'on-call'], [world.acme])
}, 120_000)
afterAll(async () => {
  await worker?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

interface Enqueued {
  readonly fileId: string
  readonly outcome: string
  readonly jobId?: string
}
interface Results {
  readonly results: readonly { index: number; fileId?: string; outcome?: string; error?: { code: string } }[]
}

async function stored(id: string, bytes: string, more: Record<string, unknown> = {}): Promise<string> {
  const file = await world.source(`${randomUUID()}.bin`, bytes)
  const { fileId } = (
    await world.ask('POST', '/v1/files', { body: { id, root: 'in', path: file, ...more } })
  ).json<Enqueued>()
  const state = async () => (await world.ask('GET', `/v1/files/${fileId}`)).json<{ state: string }>().state
  await expect.poll(state, { timeout: 30_000, interval: 100 }).toBe('STORED')
  return fileId
}

describe('a file', () => {
  test('is accepted, followed, verified, removed; the audit log has who brought and removed it', async () => {
    const name = await world.source('one.bin', 'hello')
    const item = { id: 'invoice 17/a', root: 'in', path: name, context: Buffer.from('ctx').toString('base64') }
    const first = await world.ask('POST', '/v1/files', { body: item })
    expect(first.status).toBe(202)
    const fileId = toFileId('invoice 17/a')
    expect(first.json()).toEqual({ fileId, outcome: 'queued', jobId: `f-${fileId}-g1` })
    const again = (await world.ask('POST', '/v1/files', { body: item })).json<Enqueued>()
    expect(['already-queued', 'stored']).toContain(again.outcome)
    const other = await world.ask('POST', '/v1/files', { body: { ...item, path: 'other.bin' } })
    expect([other.status, other.json().code]).toEqual([409, 'REQUEST_CONFLICT'])
    const url = `/v1/files/${encodeURIComponent('invoice 17/a')}`
    const state = async () => (await world.ask('GET', url)).json().state
    await expect.poll(state, { timeout: 30_000, interval: 100 }).toBe('STORED')
    const shown = (await world.ask('GET', url)).json()
    expect(shown).toMatchObject({ fileId, domain: 'default', root: 'in', path: name, length: 5, lastFailure: null })
    const verified = await world.ask('POST', `${url}/verify`)
    expect(verified.json()).toEqual({ fileId, ok: true, segments: 1, length: 5 })
    expect((await world.ask('DELETE', url)).status).toBe(400)
    const removed = await world.ask('DELETE', `${url}?reason=asked`)
    expect([removed.status, removed.json()]).toEqual([200, { fileId, outcome: 'removed' }])
    expect((await world.ask('DELETE', `${url}?reason=asked`)).json().outcome).toBe('removed-before')
    const gone = await world.ask('POST', `${url}/verify`)
    expect([gone.status, gone.json().code]).toEqual([410, 'FILE_GONE'])
    const audit = await listAudit(world.records, { subjectKind: 'file', subjectId: fileId })
    const deeds = audit.filter(({ action }) => action !== 'file.commit')
    expect(deeds.map(({ action }) => action)).toEqual(['files.enqueue', 'files.remove'])
    for (const { actor } of deeds) expect(actor).toMatch(/^api:[0-9a-f-]{36}$/)
  })

  test('under a hold is not removed, and one that waits is not either', async () => {
    const fileId = await stored(`held ${randomUUID()}`, 'x')
    await placeHold(world.records, { target: { fileId }, reason: 'court', actor: 'test' })
    const held = await world.ask('DELETE', `/v1/files/${fileId}?reason=x`)
    expect([held.status, held.json().code]).toEqual([409, 'HELD'])
    expect(held.bytes.toString()).not.toContain('court')
  })

  test('that does not exist is 404, whatever its id looks like', async () => {
    const ids = [
      randomUUID(),
      'no such',
      '00000000-0000-0000-0000-000000000000',
      '..',
      '%2e%2e%2fetc',
      `'; DROP TABLE files`,
    ]
    for (const id of ids) {
      const { status } = await world.ask('GET', `/v1/files/${id.includes('%') ? id : encodeURIComponent(id)}`)
      expect([404], id).toContain(status)
    }
  })
})

describe('a batch', () => {
  test('with bad items answers each, in order, and accepts the others', async () => {
    const domain = 'acme'
    const files = [
      { root: 'in', path: 'b/1', domain },
      { root: 'in', path: '../etc/passwd' },
      { root: 'in' },
      'no object',
      null,
      { root: 'in', path: 'b/1', domain },
      { root: 'in', path: 'b/2', domain: 'nonesuch' },
      { root: 'in', path: 'b/2', context: 'ä' },
      { root: 'in', path: 'b/2', context: 'A'.repeat(1_369) },
      { root: 'in', path: 'b/2', extra: 1 },
      { id: '', root: 'in', path: 'b/2' },
      { root: 'IN', path: 'b/2' },
      { root: 'in', path: 'b/3', domain: world.acme },
    ]
    const batch = `night ${randomUUID()}`
    const reply = await world.ask('POST', '/v1/files', { body: { files, batch } })
    expect(reply.status).toBe(200)
    const { results } = reply.json<Results>()
    expect(results.map(({ index }) => index)).toEqual(files.map((_, index) => index))
    const short = results.map(({ outcome, error }) => outcome ?? error?.code)
    const bad = 'PAYLOAD_INVALID'
    expect(short).toEqual([
      ...['queued', bad, bad, bad, bad, 'already-queued', 'NOT_FOUND', bad, bad, bad, bad, bad, 'queued'],
    ])
    const url = `/v1/batches/${encodeURIComponent(batch)}`
    expect((await world.ask('GET', url)).json()).toMatchObject({ name: batch, accepted: 2 })
    expect((await world.ask('GET', url, { token: acmeOnly })).json()).toMatchObject({ accepted: 2 })
    const foreign = await world.newToken(['read'], ['default'])
    expect((await world.ask('GET', url, { token: foreign })).status).toBe(404)
  })

  test('of none and of more than 10,000 is refused whole', async () => {
    const of = (n: number) => ({ files: Array.from({ length: n }, (_, i) => ({ root: 'in', path: `big/${i}` })) })
    for (const n of [0, 10_001])
      expect((await world.ask('POST', '/v1/files', { body: of(n) })).status, String(n)).toBe(400)
  })

  test('with an idempotency key gives items without an id an id under that key', async () => {
    const body = { root: 'in', path: `key/${randomUUID()}` }
    const post = async (key?: string) => {
      const headers = key === undefined ? {} : { 'idempotency-key': key }
      return (await world.ask('POST', '/v1/files', { body, headers })).json<Enqueued>().fileId
    }
    const [none, a, again, b] = [await post(), await post('a'), await post('a'), await post('b')]
    expect(again).toBe(a)
    expect(new Set([none, a, b]).size).toBe(3)
  })
})

describe('lists', () => {
  test('are paged by cursors, filtered, and end', async () => {
    const prefix = `page-${randomUUID().slice(0, 8)}/`
    const files = Array.from({ length: 7 }, (_, i) => ({ root: 'in', path: `${prefix}${i}`, domain: 'acme' }))
    await world.ask('POST', '/v1/files', { body: { files } })
    const seen: string[] = []
    let cursor: string | null = ''
    for (let pages = 0; cursor !== null && pages < 9; pages++) {
      const more: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
      const page = (await world.ask('GET', `/v1/files?prefix=${prefix}&limit=3&domain=acme${more}`)).json<{
        files: { path: string }[]
        next: string | null
      }>()
      seen.push(...page.files.map(({ path }) => path))
      cursor = page.next
    }
    expect(seen.sort()).toEqual(files.map(({ path }) => path).sort())
    const none = await world.ask('GET', `/v1/files?prefix=${prefix}&acceptedBefore=2020-01-01T00:00:00Z`)
    expect(none.json()).toEqual({ files: [], next: null })
    const all = await world.ask('GET', `/v1/files?prefix=${prefix}&acceptedAfter=2020-01-01T00:00:00Z`)
    expect(all.json<{ files: unknown[] }>().files).toHaveLength(7)
  })

  test.each([
    'limit=0',
    'limit=1001',
    'limit=x',
    'state=stored',
    'cursor=zzz',
    'acceptedAfter=yesterday',
    'nonesuch=1',
  ])('refuse %s', async (query) => {
    const reply = await world.ask('GET', `/v1/files?${query}`)
    expect([reply.status, reply.headers['content-type']]).toEqual([400, 'application/problem+json'])
  })

  test('and gets of a token for one domain have its files alone', async () => {
    const mine = (
      await world.ask('POST', '/v1/files', { body: { root: 'in', path: randomUUID(), domain: 'acme' } })
    ).json<Enqueued>()
    const theirs = (await world.ask('POST', '/v1/files', { body: { root: 'in', path: randomUUID() } })).json<Enqueued>()
    const token = acmeOnly
    expect((await world.ask('GET', `/v1/files/${mine.fileId}`, { token })).status).toBe(200)
    const unknown = await world.ask('GET', `/v1/files/${randomUUID()}`, { token })
    const methods = [
      ['GET', ''],
      ['GET', '/content'],
      ['HEAD', '/content'],
      ['POST', '/verify'],
      ['DELETE', '?reason=x'],
    ] as const
    for (const [method, tail] of methods) {
      const reply = await world.ask(method, `/v1/files/${theirs.fileId}${tail}`, { token })
      expect(reply.status, method + tail).toBe(404)
      // Not by a letter another answer than that of an id that does not exist.
      if (method !== 'HEAD') expect({ ...reply.json(), requestId: '' }).toEqual({ ...unknown.json(), requestId: '' })
    }
    const { files } = (await world.ask('GET', '/v1/files?limit=1000', { token })).json<{
      files: { domain: string }[]
    }>()
    expect(files.length).toBeGreaterThan(0)
    expect(new Set(files.map(({ domain }) => domain))).toEqual(new Set(['acme']))
    expect((await world.ask('GET', '/v1/files?domain=default', { token })).status).toBe(404)
    const refused = await world.ask('POST', '/v1/files', { token, body: { root: 'in', path: 'x' } })
    expect(refused.status).toBe(404)
    await world.ask('DELETE', `/v1/files/${theirs.fileId}?reason=clean`)
  })
})

describe('dead letters', () => {
  test('are listed, replayed and discarded; those of other domains are not there', async () => {
    const folder = randomUUID()
    await mkdir(path.join(world.fleet.root, folder))
    // A folder is no file, however often it is tried.
    const file = { root: 'in', path: folder, domain: 'acme' }
    const { fileId } = (await world.ask('POST', '/v1/files', { body: file })).json<Enqueued>()
    const foreign = (await world.ask('POST', '/v1/files', { body: { ...file, domain: 'default' } })).json<Enqueued>()
    const letters = async (token: string, query = '') =>
      (await world.ask('GET', `/v1/dead-letters?limit=1000${query}`, { token })).json<{
        deadLetters: { id: string; fileId: string; code: string; domain: string }[]
      }>().deadLetters
    const died = async (of: string) => (await letters(world.token)).find((letter) => letter.fileId === of)
    await expect.poll(() => died(fileId), { timeout: 30_000, interval: 200 }).toBeDefined()
    await expect.poll(() => died(foreign.fileId), { timeout: 30_000, interval: 200 }).toBeDefined()
    const [mine, theirs] = [await died(fileId), await died(foreign.fileId)]
    expect(mine).toMatchObject({ code: 'SOURCE_NOT_REGULAR', domain: 'acme' })
    expect(new Set((await letters(acmeOnly)).map(({ domain }) => domain))).toEqual(new Set(['acme']))
    const ids = [mine?.id, theirs?.id, randomUUID()]
    const discarded = await world.ask('POST', '/v1/dead-letters/discard', {
      token: acmeOnly,
      body: { ids, reason: 'x' },
    })
    expect(discarded.json<{ results: { outcome: string }[] }>().results.map(({ outcome }) => outcome)).toEqual([
      ...['discarded', 'not-found', 'not-found'],
    ])
    const replayed = await world.ask('POST', '/v1/dead-letters/replay', { body: { ids: [theirs?.id, mine?.id] } })
    expect(replayed.json<{ results: { outcome: string }[] }>().results.map(({ outcome }) => outcome)).toEqual([
      ...['replayed', 'resolved'],
    ])
    expect((await world.ask('GET', `/v1/files/${foreign.fileId}`)).json().state).not.toBe('DISCARDED')
  }, 60_000)
})

describe('requests', () => {
  test('have an id: the caller’s if it is a UUID, in the answer and in the log', async () => {
    const id = randomUUID()
    const reply = await world.ask('GET', '/v1/files/none', { headers: { 'x-request-id': id } })
    expect(reply.headers['x-request-id']).toBe(id)
    expect(reply.json().requestId).toBe(id)
    await expect
      .poll(() => world.lines.find((line) => line.requestId === id))
      .toMatchObject({
        ...{ msg: 'request', operation: 'getFile', httpStatus: 404, code: 'NOT_FOUND' },
      })
    const odd = await world.ask('GET', '/v1/files/none', { headers: { 'x-request-id': 'a b' } })
    expect(odd.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('to health, metrics and the document need no token', async () => {
    for (const url of ['/livez', '/healthz', '/readyz', '/metrics', '/openapi.json'])
      expect((await world.ask('GET', url, { token: null })).status, url).toBe(200)
    const metrics = (await world.ask('GET', '/metrics')).bytes.toString()
    expect(metrics).toMatch(/sealfleet_gateway_requests_total\{operation="getFile",status="404"/)
  })
})

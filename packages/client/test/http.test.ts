import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileIdFor, toFileId } from '@sealfleet/queue'
import { tempDir } from '@sealfleet/testkit'
import { describe, expect, test } from 'vitest'
import { fileIdOf } from '../src/file-id.js'
import { SealfleetClient, SealfleetError, type NewFile, type UploadSource } from '../src/index.js'
import { json, startServer, type Answer, type Seen } from './http-server.js'

const ID = '0190b3c0-0000-7000-8000-000000000001'
const CONTENT = randomBytes(300_000)
const ETAG = '"attempt-1"'

async function serving(answer: Answer, options: object = {}) {
  const server = await startServer(answer)
  const client = new SealfleetClient({ baseUrl: server.baseUrl, token: 'sft_a_b', ...options })
  return { ...server, client }
}

async function thrown(work: Promise<unknown>): Promise<SealfleetError> {
  const error: unknown = await work.then(
    () => new Error('nothing was thrown'),
    (reason: unknown) => reason,
  )
  if (!(error instanceof SealfleetError)) throw error as Error
  return error
}

const bodyOf = (seen: Seen | undefined): unknown => JSON.parse(String(seen?.body))

test.each(['invoice 17', 'é ✓', ID, ID.toUpperCase(), '0190B3C0'])('the id of %s is that of the fleet', (id) => {
  expect(fileIdOf(id)).toBe(toFileId(id))
})

describe('handing in', () => {
  test('one file: its token, id and context as the API has them', async () => {
    await using at = await serving((_, res) => json(res, 202, { fileId: ID, outcome: 'queued', jobId: 'j' }))
    const file = { root: 'inbox', path: 'a', id: 'invoice 17', context: Buffer.from('customer 42') }
    expect(await at.client.enqueue(file)).toEqual({ index: 0, fileId: ID, outcome: 'queued', jobId: 'j' })
    expect(at.requests[0]).toMatchObject({ method: 'POST', url: '/v1/files' })
    expect(at.requests[0]?.headers.authorization).toBe('Bearer sft_a_b')
    const item = { root: 'inbox', path: 'a', id: fileIdFor('invoice 17'), context: 'Y3VzdG9tZXIgNDI=' }
    expect(bodyOf(at.requests[0])).toEqual(item)
  })

  test('many files: in chunks, read as far as answers are taken; each has its own answer', async () => {
    await using at = await serving((seen, res) => {
      const { files } = bodyOf(seen) as { files: NewFile[] }
      const results = files.map(({ path }, index) =>
        path === '3'
          ? { index, error: { code: 'PAYLOAD_INVALID', detail: 'no', status: 400 } }
          : { index, fileId: ID, outcome: 'queued' },
      )
      json(res, 200, { results })
    })
    let read = 0
    function* files() {
      for (;;) yield { root: 'inbox', path: String(read++) }
    }
    const answers = at.client.enqueueMany(files(), { chunkSize: 4, batch: 'March' })
    const seen = []
    for (let i = 0; i < 6; i++) seen.push((await answers.next()).value)
    await answers.return()
    expect(read).toBe(8)
    expect(at.requests).toHaveLength(2)
    expect(bodyOf(at.requests[1])).toMatchObject({ batch: 'March', files: [{ path: '4' }, {}, {}, {}] })
    expect(seen.map((answer) => [answer?.index, answer?.outcome, answer?.error?.code])).toEqual([
      [0, 'queued', undefined],
      [1, 'queued', undefined],
      [2, 'queued', undefined],
      [3, 'invalid', 'PAYLOAD_INVALID'],
      [4, 'queued', undefined],
      [5, 'queued', undefined],
    ])
  })

  test('an answer with too few results is no success', async () => {
    await using at = await serving((_, res) => json(res, 200, { results: [] }))
    expect((await thrown(at.client.enqueueMany([{ root: 'a', path: 'b' }]).next())).code).toBe('BAD_ANSWER')
  })
})

describe('errors', () => {
  test('a problem of the API keeps its code, detail, fix and request id', async () => {
    const problem = { code: 'REQUEST_CONFLICT', detail: 'another file', fix: 'use another id', requestId: 'r' }
    await using at = await serving((_, res) => json(res, 409, problem))
    const error = await thrown(at.client.enqueue({ root: 'inbox', path: 'a' }))
    expect(error).toMatchObject({ ...problem, status: 409, retryable: false })
    expect(at.requests).toHaveLength(1)
  })

  test.each([
    ['a page of something else', (res: Parameters<Answer>[1]) => res.writeHead(404).end('<html>')],
    ['JSON that is none', (res: Parameters<Answer>[1]) => res.writeHead(200).end('{')],
  ])('%s is BAD_ANSWER', async (_, answer) => {
    await using at = await serving((_seen, res) => void answer(res), { retries: 0 })
    expect(await thrown(at.client.get(ID))).toMatchObject({ code: 'BAD_ANSWER' })
  })

  test('a redirection is not followed: it would carry the token to another server', async () => {
    await using other = await serving((_, res) => json(res, 200, {}))
    await using at = await serving((_, res) => void res.writeHead(307, { location: other.baseUrl }).end(), {
      retries: 0,
    })
    expect(await thrown(at.client.get(ID))).toMatchObject({ code: 'UNREACHABLE' })
    expect(other.requests).toHaveLength(0)
  })

  test.each(['http://gateway.example', 'ftp://localhost', 'https://user:p@host', 'nothing'])(
    '%s is refused',
    (baseUrl) => {
      expect(() => new SealfleetClient({ baseUrl, token: 't' })).toThrow(
        expect.objectContaining({ code: 'CONFIG_INVALID' }) as Error,
      )
    },
  )
})

describe('outages', () => {
  test.each([429, 502, 503, 504])('status %i: the request is repeated after Retry-After', async (status) => {
    await using at = await serving((_, res, turn) =>
      turn < 2 ? json(res, status, { code: 'BUSY' }, { 'retry-after': '0' }) : json(res, 200, { fileId: ID }),
    )
    expect(await at.client.get(ID)).toEqual({ fileId: ID })
    expect(at.requests).toHaveLength(3)
  })

  test('a connection that breaks is one, too', async () => {
    await using at = await serving((_, res, turn) =>
      turn === 0 ? void res.destroy() : json(res, 202, { fileId: ID, outcome: 'already-queued' }),
    )
    expect(await at.client.enqueue({ root: 'inbox', path: 'a' })).toMatchObject({ outcome: 'already-queued' })
  })

  test('it ends with the last error when the tries are used up, and at once when the server asks for an hour', async () => {
    await using at = await serving((_, res) => json(res, 503, { code: 'DB_UNAVAILABLE' }, { 'retry-after': '0' }), {
      retries: 2,
    })
    expect(await thrown(at.client.get(ID))).toMatchObject({ code: 'DB_UNAVAILABLE', retryable: true })
    expect(at.requests).toHaveLength(3)
    await using later = await serving((_, res) => json(res, 503, { code: 'BUSY' }, { 'retry-after': '3600' }))
    expect(await thrown(later.client.get(ID))).toMatchObject({ code: 'BUSY' })
    expect(later.requests).toHaveLength(1)
  })

  test.each([400, 401, 403, 500])('status %i is not repeated', async (status) => {
    await using at = await serving((_, res) => json(res, status, { code: 'X' }))
    expect(await thrown(at.client.get(ID))).toMatchObject({ code: 'X', status })
    expect(at.requests).toHaveLength(1)
  })

  test('what is not idempotent is not repeated', async () => {
    await using at = await serving((_, res) => json(res, 503, { code: 'BUSY' }, { 'retry-after': '0' }))
    await thrown(at.client.replayDeadLetters(['1'], { reason: 'mended' }))
    expect(at.requests).toHaveLength(1)
    expect(bodyOf(at.requests[0])).toEqual({ ids: ['1'], reason: 'mended' })
  })

  test('no answer is TIMEOUT; no server is UNREACHABLE', async () => {
    await using at = await serving(() => undefined, { timeoutMs: 50, retries: 0 })
    expect(await thrown(at.client.get(ID))).toMatchObject({ code: 'TIMEOUT', retryable: true })
    const client = new SealfleetClient({ baseUrl: 'http://127.0.0.1:9', token: 't', retries: 0 })
    expect(await thrown(client.get(ID))).toMatchObject({ code: 'UNREACHABLE', retryable: true })
  })

  test.each([
    ['before it is sent', 0],
    ['while it waits for the answer, or for the next try', 60],
  ])('an abort %s throws its reason', async (_, ms) => {
    await using at = await serving((_seen, res, turn) => (turn === 0 ? json(res, 503, {}) : undefined))
    const reason = new Error('enough')
    const abort = new AbortController()
    if (ms === 0) abort.abort(reason)
    else setTimeout(() => abort.abort(reason), ms)
    await expect(at.client.get(ID, { signal: abort.signal })).rejects.toBe(reason)
  })
})

test('a list is read page by page, with its filters', async () => {
  await using at = await serving((_, res, turn) =>
    json(res, 200, { files: [{ fileId: `${turn}a` }, { fileId: `${turn}b` }], next: turn < 2 ? `c${turn}` : null }),
  )
  const seen = []
  for await (const { fileId } of at.client.list({ state: 'DEAD', prefix: '2026/ä', pageSize: 2 })) seen.push(fileId)
  expect(seen).toEqual(['0a', '0b', '1a', '1b', '2a', '2b'])
  const query = 'state=DEAD&prefix=2026%2F%C3%A4&limit=2'
  expect(at.requests.map(({ url }) => url)).toEqual([
    `/v1/files?${query}`,
    `/v1/files?${query}&cursor=c0`,
    `/v1/files?${query}&cursor=c1`,
  ])
})

test('a wait asks until each file has ended, also of those that are not known yet', async () => {
  await using at = await serving((seen, res, turn) => {
    const fileId = seen.url.split('/').at(-1) ?? ''
    if (turn < 3) return json(res, 404, { code: 'NOT_FOUND' })
    if (turn < 6) return json(res, 200, { fileId, state: 'RUNNING', lastFailure: null })
    return json(res, 200, { fileId, state: 'DEAD', lastFailure: { code: 'SOURCE_MISSING' } })
  })
  const ended = await at.client.waitForAll(['a', 'b', 'c'], { pollMs: 5 })
  expect([...ended.values()]).toEqual(
    expect.arrayContaining([{ fileId: fileIdFor('a'), state: 'DEAD', code: 'SOURCE_MISSING' }]),
  )
  expect(ended.size).toBe(3)
})

describe('uploads', () => {
  const digest = `sha-256=:${createHash('sha256').update(CONTENT).digest('base64')}:`
  const streamed = () =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(CONTENT)
        controller.close()
      },
    })

  async function* pieces() {
    for (let at = 0; at < CONTENT.length; at += 70_000) yield await Promise.resolve(CONTENT.subarray(at, at + 70_000))
  }

  test.each<[string, (folder: string) => UploadSource, repeated: boolean]>([
    ['bytes', () => CONTENT, true],
    ['a Blob', () => new Blob([CONTENT]), true],
    ['a file', (folder) => ({ path: path.join(folder, 'a') }), true],
    ['a web stream', streamed, false],
    ['an async iterable', pieces, false],
  ])('%s: whole, with its digest where it can be read twice, and repeated only then', async (_, source, repeated) => {
    await using folder = await tempDir()
    await writeFile(path.join(folder.path, 'a'), CONTENT)
    await using at = await serving((_seen, res, turn) =>
      repeated && turn === 0 ? json(res, 503, {}, { 'retry-after': '0' }) : json(res, 201, { fileId: ID }),
    )
    const options = { id: ID, name: 'a b', domain: 'invoices', context: Buffer.from('c') }
    expect(await at.client.upload(source(folder.path), options)).toEqual({ fileId: ID })
    expect(at.requests).toHaveLength(repeated ? 2 : 1)
    const seen = at.requests.at(-1)
    expect(seen?.method).toBe('PUT')
    expect(seen?.url).toBe(`/v1/files/${ID}/content?name=a+b&domain=invoices&context=Yw`)
    expect(seen?.body.equals(CONTENT)).toBe(true)
    expect(seen?.headers['content-digest']).toBe(repeated ? digest : undefined)
    expect(seen?.headers['content-length']).toBe(repeated ? String(CONTENT.length) : undefined)
  })

  test('a stream is not sent a second time, and says so by its error', async () => {
    await using at = await serving((_, res) => json(res, 503, { code: 'BUSY' }, { 'retry-after': '0' }))
    expect(await thrown(at.client.upload(streamed()))).toMatchObject({ code: 'BUSY', retryable: true })
    expect(at.requests).toHaveLength(1)
  })

  test('errors of the source are thrown as they are', async () => {
    await using at = await serving((_, res) => json(res, 201, { fileId: ID }))
    await expect(at.client.upload({ path: '/nowhere/at/all' })).rejects.toMatchObject({ code: 'ENOENT' })
    const torn = new Error('the tape is torn')
    async function* source() {
      yield await Promise.resolve(CONTENT)
      throw torn
    }
    await expect(at.client.upload(source())).rejects.toBe(torn)
    expect(at.requests).toHaveLength(0)
  })
})

/** Serves CONTENT with ranges, as the API does; `cut`: the connection breaks after these many bytes. */
function content(response: Parameters<Answer>[1], seen: Seen, { cut = Infinity, etag = ETAG } = {}) {
  const [, first = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(seen.headers.range ?? '') ?? []
  const start = Number(first)
  const end = last === '' ? CONTENT.length - 1 : Math.min(Number(last), CONTENT.length - 1)
  const part = seen.headers.range !== undefined
  response.writeHead(part ? 206 : 200, {
    'content-length': end - start + 1,
    ...(etag !== '' && { etag }),
    ...(part && { 'content-range': `bytes ${start}-${end}/${CONTENT.length}` }),
  })
  const bytes = CONTENT.subarray(start, end + 1)
  if (cut >= bytes.length) return void response.end(bytes)
  response.write(bytes.subarray(0, cut), () => setTimeout(() => response.destroy(), 20))
}

describe('reading back', () => {
  test.each([
    ['whole', undefined, [0, 300_000]],
    ['from the middle to the end', { start: 299_990 }, [299_990, 300_000]],
    ['a part', { start: 10, end: 19 }, [10, 20]],
    ['a part that ends after the file', { start: 299_999, end: 400_000 }, [299_999, 300_000]],
  ])('%s', async (_, range, [from, to]) => {
    await using at = await serving((seen, res) => content(res, seen))
    const opened = await at.client.read(ID, { range })
    expect(opened).toMatchObject({ length: (to ?? 0) - (from ?? 0), size: 300_000, etag: ETAG })
    const bytes = await at.client.readBytes(ID, { range })
    expect(Buffer.from(bytes).equals(CONTENT.subarray(from, to))).toBe(true)
  })

  test('a download that is cut off continues where it was, as long as the file is the same', async () => {
    await using at = await serving((seen, res, turn) => content(res, seen, { cut: turn < 2 ? 100_000 : Infinity }))
    const bytes = await at.client.readBytes(ID, { range: { start: 5, end: 299_000 } })
    expect(Buffer.from(bytes).equals(CONTENT.subarray(5, 299_001))).toBe(true)
    expect(at.requests.length).toBeGreaterThanOrEqual(3)
    for (const { headers } of at.requests.slice(1)) expect(headers['if-range']).toBe(ETAG)
  })

  test.each<[string, (seen: Seen, res: Parameters<Answer>[1], turn: number) => void]>([
    [
      'the file was sealed again meanwhile',
      (seen, res, turn) => content(res, seen, turn === 0 ? { cut: 100_000 } : { etag: '"attempt-2"' }),
    ],
    [
      'the whole comes in place of the rest',
      (seen, res, turn) =>
        content(res, turn === 0 ? seen : { ...seen, headers: {} }, turn === 0 ? { cut: 100_000 } : {}),
    ],
    ['it has no validator', (seen, res) => content(res, seen, { cut: 100_000, etag: '' })],
    [
      'it is cut again and again without a byte',
      (seen, res, turn) => content(res, seen, { cut: turn === 0 ? 100_000 : 0 }),
    ],
  ])('it is INCOMPLETE when %s, and no file is left', { timeout: 60_000 }, async (_, answer) => {
    await using folder = await tempDir()
    await using at = await serving(answer)
    const error = await thrown(at.client.readToFile(ID, path.join(folder.path, 'copy')))
    expect(error).toMatchObject({ code: 'INCOMPLETE', retryable: true })
    expect(await readdir(folder.path)).toEqual([])
  })

  test('no byte for too long is a cut', async () => {
    await using at = await serving(
      (_, res) => {
        res.writeHead(200, { 'content-length': 10 }).write('hello')
      },
      { stallMs: 50 },
    )
    expect(await thrown(at.client.readBytes(ID))).toMatchObject({ code: 'INCOMPLETE' })
  })

  test('an answer without a length, or that is no part, is BAD_ANSWER', async () => {
    await using at = await serving((_, res) => {
      res.writeHead(200)
      res.write('abc')
      res.end()
    })
    expect((await thrown(at.client.read(ID))).code).toBe('BAD_ANSWER')
    expect((await thrown(at.client.read(ID, { range: { start: 1 } }))).code).toBe('BAD_ANSWER')
  })

  test('a file appears when it is whole, and replaces another only when asked to', async () => {
    await using folder = await tempDir()
    const copy = path.join(folder.path, 'copy')
    await using at = await serving((seen, res) => content(res, seen))
    await at.client.readToFile(ID, copy)
    expect((await readFile(copy)).equals(CONTENT)).toBe(true)
    await expect(at.client.readToFile(ID, copy)).rejects.toMatchObject({ code: 'EEXIST' })
    await writeFile(copy, 'old')
    await at.client.readToFile(ID, copy, { overwrite: true })
    expect((await readFile(copy)).equals(CONTENT)).toBe(true)
    expect(await readdir(folder.path)).toEqual(['copy'])
  })

  test('a reader that stops closes the connection, and an abort throws its reason', async () => {
    let closed = 0
    await using at = await serving((_, res) => {
      res.on('close', () => closed++)
      res.writeHead(200, { 'content-length': CONTENT.length, etag: ETAG }).write(CONTENT.subarray(0, 1000))
    })
    for await (const _chunk of await at.client.read(ID)) break
    await expect.poll(() => closed).toBe(1)
    const abort = new AbortController()
    const reading = at.client.readBytes(ID, { signal: abort.signal })
    await sleep(50)
    const reason = new Error('enough')
    abort.abort(reason)
    await expect(reading).rejects.toBe(reason)
  })
})

test('removing, verifying, batches and dead letters are the calls of the API', async () => {
  await using at = await serving((seen, res) =>
    seen.method === 'DELETE'
      ? void res.writeHead(204).end()
      : json(res, 200, { ok: true, deadLetters: [], next: null }),
  )
  await at.client.remove(ID, { reason: 'by mistake' })
  expect(await at.client.verify(ID)).toMatchObject({ ok: true })
  await at.client.batch('March 2026')
  for await (const _ of at.client.deadLetters({ code: 'POISON' })) throw new Error('there is none')
  await at.client.discardDeadLetters(['1'], { reason: 'not wanted' })
  expect(at.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
    `DELETE /v1/files/${ID}?reason=by+mistake`,
    `POST /v1/files/${ID}/verify`,
    'GET /v1/batches/March%202026',
    'GET /v1/dead-letters?code=POISON',
    'POST /v1/dead-letters/discard',
  ])
})

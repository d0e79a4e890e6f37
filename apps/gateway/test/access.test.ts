import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { getToken, parseTokenText, revokeToken, TOKEN_SCOPES, tokenText } from '@sealfleet/records/tokens'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROUTES } from '../src/routes/index.js'
import { startWorld, type World } from './support.js'

let world: World
beforeAll(async () => {
  world = await startWorld({ SEALFLEET_GATEWAY_REQUESTS_PER_SECOND: '1000', SEALFLEET_GATEWAY_BODY_LIMIT: '64KiB' })
}, 120_000)
afterAll(() => world?.[Symbol.asyncDispose]())

interface Problem {
  readonly type: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly fix: string
  readonly requestId: string
}

/** Of every operation one request that its handler would get. */
function sample(path: string, method: string) {
  const url = path.replace('{id}', randomUUID()) + (method === 'DELETE' ? '?reason=x' : '')
  const ids = { ids: [randomUUID()], reason: 'x' }
  const body = path.includes('dead-letters/') ? ids : path === '/v1/files' ? { root: 'in', path: 'x' } : undefined
  return { url, ...(method === 'POST' && body !== undefined ? { body } : {}) }
}

describe('every operation', () => {
  const rows = ROUTES.flatMap((route) => TOKEN_SCOPES.map((scope) => [route.operation, scope, route] as const))

  test.each(rows)('%s with the scope %s', async (_, scope, { method, path, scope: needed }) => {
    const { url, ...rest } = sample(path, method)
    const reply = await world.ask(method, url, { token: await world.newToken([scope]), ...rest })
    if (scope === needed) return expect([200, 202, 404]).toContain(reply.status)
    expect(reply.status).toBe(403)
    if (method !== 'HEAD') expect(reply.json<Problem>().detail).toBe(`the scope \`${needed}\` is missing`)
  })

  test.each(ROUTES.map((route) => [route.operation, route] as const))(
    '%s without a valid token',
    async (_, { method, path }) => {
      const { url, ...rest } = sample(path, method)
      const wrong = tokenText({ id: parseTokenText(world.token)?.id ?? '', secret: randomBytes(32) })
      for (const token of [null, wrong]) {
        const reply = await world.ask(method, url, { token, ...rest })
        expect([reply.status, reply.headers['www-authenticate']]).toEqual([401, 'Bearer realm="sealfleet"'])
      }
    },
  )
})

describe('a token', () => {
  const get = (authorization: string) => world.ask('GET', '/v1/files', { token: null, headers: { authorization } })

  test('that is wrong, unknown or no token gets one answer', async () => {
    const id = parseTokenText(world.token)?.id ?? ''
    const secret = parseTokenText(world.token)?.secret ?? Buffer.alloc(32)
    const texts = [
      tokenText({ id, secret: randomBytes(32) }),
      tokenText({ id: randomUUID(), secret }),
      ...['x', `${world.token}x`, world.token.slice(0, -1), world.token.toLowerCase()],
    ]
    const answers = new Set<string>()
    for (const text of texts) {
      const reply = await get(`Bearer ${text}`)
      expect(reply.status).toBe(401)
      answers.add(JSON.stringify({ ...reply.json<Problem>(), requestId: '' }))
    }
    for (const header of ['', 'Bearer', `Basic ${world.token}`, world.token]) {
      const reply = await get(header)
      answers.add(JSON.stringify({ ...reply.json<Problem>(), requestId: '' }))
    }
    expect(answers.size).toBe(1)
  })

  test('that was revoked is refused at the next request', async () => {
    const token = await world.newToken(['read'])
    expect((await world.ask('GET', '/v1/files', { token })).status).toBe(200)
    await revokeToken(world.records, { id: parseTokenText(token)?.id ?? '', reason: 'leaked', actor: 'test' })
    const reply = await world.ask('GET', '/v1/files', { token })
    expect([reply.status, reply.json<Problem>().code]).toEqual([401, 'TOKEN_REVOKED'])
  })

  test('that has expired is refused', async () => {
    const [id, secret] = [randomUUID(), randomBytes(32)]
    const sql = new pg.Client({ connectionString: world.fleet.database.url })
    await sql.connect()
    await sql.query(
      `INSERT INTO api_tokens (id, name, secret_hash, scopes, all_domains, domain_ids, created_by, created_at, expires_at)
       VALUES ($1, 'old', $2, '{read}', true, '{}', 'test', now() - interval '2 days', now() - interval '1 second')`,
      [id, createHash('sha256').update(secret).digest()],
    )
    await sql.end()
    const reply = await world.ask('GET', '/v1/files', { token: tokenText({ id, secret }) })
    expect([reply.status, reply.json<Problem>().code]).toEqual([401, 'TOKEN_EXPIRED'])
  })

  test('is noted as used, and is in no log line', async () => {
    await world.ask('GET', '/v1/files')
    const { id } = parseTokenText(world.token) ?? { id: '' }
    expect((await getToken(world.records, id))?.lastUsedAt).toBeInstanceOf(Date)
    const said = JSON.stringify(world.lines)
    expect(said).toContain(id)
    expect(said).not.toContain(world.token.slice(-43))
  })
})

describe('every refusal is a problem', () => {
  test.each([
    ['an unknown address', 'GET', '/v2/files', 404, 'ROUTE_UNKNOWN', {}],
    ['a trailing slash', 'GET', '/v1/files/', 404, 'NOT_FOUND', {}],
    ['a method that it lacks', 'PUT', '/v1/files', 405, 'METHOD_NOT_ALLOWED', {}],
    ['a method of health', 'POST', '/livez', 405, 'METHOD_NOT_ALLOWED', {}],
    ['a body that is too large', 'POST', '/v1/files', 413, 'BODY_TOO_LARGE', { body: { x: 'x'.repeat(70_000) } }],
    ['a body of text', 'POST', '/v1/files', 415, 'MEDIA_TYPE', { raw: 'x', headers: { 'content-type': 'text/plain' } }],
    ['no type', 'POST', '/v1/files', 415, 'MEDIA_TYPE', { raw: 'x' }],
    ['no JSON', 'POST', '/v1/files', 400, 'BAD_REQUEST', { raw: '{', headers: { 'content-type': 'application/json' } }],
    ['a list', 'POST', '/v1/files', 400, 'PAYLOAD_INVALID', { body: [] }],
    [
      'a prototype',
      'POST',
      '/v1/files',
      400,
      'BAD_REQUEST',
      { raw: '{"__proto__":{"root":"in"}}', headers: { 'content-type': 'application/json' } },
    ],
    ['large headers', 'GET', '/v1/files', 431, 'HEADERS_TOO_LARGE', { headers: { 'x-a': 'x'.repeat(20_000) } }],
    [
      'a key with a space',
      'POST',
      '/v1/files',
      400,
      'BAD_REQUEST',
      { body: { root: 'in', path: 'x' }, headers: { 'idempotency-key': 'a b' } },
    ],
    ['a broken escape', 'GET', '/v1/files/%zz', 400, 'BAD_REQUEST', {}],
    ['a long id', 'GET', `/v1/files/${'a'.repeat(4_000)}`, 400, 'BAD_REQUEST', {}],
  ] as const)('%s', async (_, method, url, status, code, o) => {
    const reply = await world.ask(method, url, o)
    expect(reply.headers['content-type']).toBe('application/problem+json')
    const problem = reply.json<Problem>()
    expect([reply.status, problem.status, problem.code]).toEqual([status, status, code])
    expect(problem.requestId).toBe(reply.headers['x-request-id'])
    expect(problem.fix.length).toBeGreaterThan(10)
    expect(reply.bytes.toString()).not.toMatch(/\/work\/|node_modules|\.[jt]s\b|packages\/|npx|FST_/)
  })

  test('405 says what the address knows', async () => {
    expect((await world.ask('PATCH', '/v1/files')).headers.allow).toBe('POST, GET')
  })

  test('10,000 files are one request; 429 says when to come back, and the token works again then', async () => {
    await using slow = await startWorld({ SEALFLEET_GATEWAY_REQUESTS_PER_SECOND: '5' })
    // No worker takes these files; a batch counts as one request.
    const files = Array.from({ length: 10_000 }, (_, i) => ({ root: 'in', path: `big/${i}` }))
    const many = await slow.ask('POST', '/v1/files', { body: { files, batch: 'big' } })
    expect(
      many.json<{ results: { outcome: string }[] }>().results.filter(({ outcome }) => outcome === 'queued'),
    ).toHaveLength(10_000)
    const replies = await Promise.all(Array.from({ length: 30 }, () => slow.ask('GET', '/v1/batches/none')))
    const limited = replies.filter(({ status }) => status === 429)
    expect(limited.length).toBeGreaterThan(10)
    expect(limited[0]?.headers['retry-after']).toBe('1')
    expect(limited[0]?.json<Problem>().code).toBe('RATE_LIMITED')
    // Another token is not slowed down by it.
    const token = await slow.newToken(['read'])
    expect((await slow.ask('GET', '/v1/batches/none', { token })).status).toBe(404)
    await expect.poll(async () => (await slow.ask('GET', '/v1/batches/none')).status, { timeout: 5_000 }).toBe(404)
  }, 60_000)
})

describe('shapes of smuggled requests', () => {
  /** Writes the bytes and reads until the server closes, or nothing comes for a while. */
  function raw(text: string): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect(world.port, '127.0.0.1', () => socket.write(text))
      let said = ''
      socket.on('data', (chunk) => (said += chunk.toString()))
      socket.setTimeout(1_000, () => socket.destroy())
      socket.on('error', () => undefined)
      socket.on('close', () => resolve(said))
    })
  }
  const answers = (said: string) => [...said.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status))
  const head = (...lines: readonly string[]) =>
    [`POST /v1/files HTTP/1.1`, 'Host: a', `Authorization: Bearer ${world.token}`, ...lines, '', ''].join('\r\n')
  const inner = 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n'

  test.each([
    ['a length beside chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked'], `0\r\n\r\n${inner}`],
    ['two lengths', ['Content-Length: 0', 'Content-Length: 40'], inner],
    ['an encoding that is none', ['Transfer-Encoding: xchunked'], `0\r\n\r\n${inner}`],
    ['chunks twice', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], `0\r\n\r\n${inner}`],
    ['a space before the colon', ['Content-Length : 40'], inner],
    ['a folded header', ['X-A: b', ' Content-Length: 40'], inner],
    ['a length with a sign', ['Content-Length: +0'], inner],
    ['a bad chunk', ['Content-Type: application/json', 'Transfer-Encoding: chunked'], `zz\r\n${inner}`],
  ] as const)('%s: one refusal, and the connection ends', async (_, headers, body) => {
    const said = await raw(head(...headers) + body)
    expect(answers(said)).toHaveLength(1)
    expect(answers(said)[0]).toBe(400)
  })

  test.each(['Authorization: Bearer x', 'Host: b', 'X-Request-Id: 1'])(
    '%s a second time is refused',
    async (header) => {
      const lines = [
        `GET /v1/files HTTP/1.1`,
        'Host: a',
        `Authorization: Bearer ${world.token}`,
        'X-Request-Id: 2',
        header,
      ]
      expect(answers(await raw([...lines, '', ''].join('\r\n')))[0]).toBe(400)
    },
  )
})

test('a client that is slow with its headers is cut off with 408', async () => {
  const socket = connect(world.port, '127.0.0.1', () => socket.write('GET /v1/files HTTP/1.1\r\nHost: a\r\n'))
  const said = await new Promise<string>((resolve) => {
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('close', () => resolve(text))
  })
  expect(said).toMatch(/^HTTP\/1\.1 408 /)
  expect(said).toContain('REQUEST_TIMEOUT')
}, 20_000)

import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { readObjectMetadata } from '../src/metadata.js'
import {
  all,
  collect,
  inParts,
  leftAt,
  metadataOf,
  NOTHING,
  onServers,
  openFresh,
  PART,
  pattern,
  SERVERS,
  sha256,
} from './support.js'

onServers(SERVERS, 'put on', (server) => {
  test.each([
    ['nothing', 0],
    ['one byte', 1],
    ['a part less one', PART - 1],
    ['a part', PART],
    ['a part and one', PART + 1],
    ['two parts', 2 * PART],
    ['three parts and a bit', 3 * PART + 17],
  ])('%s comes back as it was', async (_name, length) => {
    await using opened = await openFresh(server)
    const { store } = opened
    const bytes = pattern(length)
    const context = Buffer.from('what it is for')
    const attemptId = randomUUID()
    const key = `default/${randomUUID()}/${attemptId}`
    const progress: number[] = []
    const result = await store.put({
      key,
      body: inParts(bytes),
      length,
      metadata: metadataOf(attemptId, context),
      onProgress: ({ confirmed }) => progress.push(confirmed),
    })
    expect(result).toMatchObject({ length, recovered: false })
    expect(result.version !== undefined).toBe(store.capabilities.versioning)
    expect(progress.at(-1)).toBe(length)
    expect(progress).toEqual([...progress].sort((a, b) => a - b))

    const head = await store.head(key)
    expect(head).toMatchObject({ length, etag: result.etag })
    expect(readObjectMetadata(head.metadata)).toMatchObject({ attemptId, context })
    const reader = store.reader({ key, ...result })
    expect(sha256(await collect(reader.read(0, length)))).toBe(sha256(bytes))
    expect(await leftAt(store, key)).toEqual({ objects: 1, uploads: 0 })
  })

  test('another attempt’s object at the key is never overwritten where the store can refuse', async () => {
    await using opened = await openFresh(server)
    const { store } = opened
    const first = metadataOf()
    await store.put({ key: 'taken', body: inParts(pattern(10)), length: 10, metadata: first })
    const second = store.put({ key: 'taken', body: inParts(pattern(20)), length: 20, metadata: metadataOf() })
    if (store.capabilities.ifNoneMatch.put) {
      await expect(second).rejects.toMatchObject({ code: 'S3_OBJECT_EXISTS' })
      expect(await store.head('taken')).toMatchObject({ length: 10, metadata: first })
    } else {
      await expect(second).resolves.toMatchObject({ length: 20 })
    }
  })

  test('the same attempt’s finished object counts as success', async () => {
    await using opened = await openFresh(server)
    const { store } = opened
    const again = { key: 'mine', length: 10, metadata: metadataOf() }
    const first = await store.put({ ...again, body: inParts(pattern(10)) })
    const second = await store.put({ ...again, body: inParts(pattern(10)) })
    expect(second.etag).toBe(first.etag)
    expect(second.recovered).toBe(store.capabilities.ifNoneMatch.put)
  })

  test.each([
    ['ends early', [PART, PART]],
    ['goes on', [PART, PART, 5, 1]],
    ['has a short part in the middle', [PART, PART - 1, 6]],
    ['has a long last part', [PART, PART, 6]],
    ['has no part at all', []],
  ])('a body that %s is LENGTH_MISMATCH and leaves nothing', async (_name, sizes) => {
    await using opened = await openFresh(server)
    const { store } = opened
    const body = async function* () {
      for (const size of sizes) yield await Promise.resolve(Buffer.alloc(size))
    }
    const put = store.put({ key: 'odd', body: body(), length: 2 * PART + 5, metadata: metadataOf() })
    await expect(put).rejects.toMatchObject({ code: 'LENGTH_MISMATCH' })
    expect(await leftAt(store, 'odd')).toEqual(NOTHING)
  })

  test.each([
    ['at once', 0, 3 * PART],
    ['in the middle', 2, 3 * PART],
    ['after its last byte', 3, 3 * PART],
    ['in a small object', 0, 100],
  ])('the error of a body that fails %s passes through and leaves nothing', async (_name, failAfter, length) => {
    await using opened = await openFresh(server)
    const { store } = opened
    const trouble = Object.assign(new Error('the disk is on fire'), { code: 'SOURCE_IO' })
    let closed = false
    const settled = new Set<Uint8Array>()
    const yielded: Uint8Array[] = []
    const body = async function* () {
      try {
        for (let part = 0; ; part++) {
          if (part === failAfter) throw trouble
          const buffer = Buffer.alloc(PART)
          yielded.push(buffer)
          yield await Promise.resolve(buffer)
        }
      } finally {
        closed = true
      }
    }
    const put = store.put({
      key: 'burnt',
      body: body(),
      length,
      metadata: metadataOf(),
      onPartSettled: (buffer) => settled.add(buffer),
    })
    await expect(put).rejects.toBe(trouble)
    expect(closed).toBe(true)
    expect([...settled]).toHaveLength(yielded.length)
    expect(await leftAt(store, 'burnt')).toEqual(NOTHING)
  })

  test('an aborted put rejects with the signal’s reason, gives every buffer back and leaves nothing', async () => {
    await using opened = await openFresh(server)
    const { store } = opened
    const stop = new AbortController()
    const reason = new Error('the lease is gone')
    let out = 0
    const body = async function* () {
      for (let part = 0; part < 8; part++) {
        if (part === 5) stop.abort(reason)
        out++
        yield await Promise.resolve(Buffer.alloc(PART))
      }
    }
    const put = store.put({
      key: 'stopped',
      body: body(),
      length: 8 * PART,
      metadata: metadataOf(),
      signal: stop.signal,
      onPartSettled: () => out--,
    })
    await expect(put).rejects.toBe(reason)
    expect(out).toBe(0)
    expect(await leftAt(store, 'stopped')).toEqual(NOTHING)
    expect(opened.warnings).toEqual([])
  })

  test('a body that hangs does not hold up an abort, and its late buffer is given back', async () => {
    await using opened = await openFresh(server, { abortTimeoutMs: 3000 })
    const { store } = opened
    const stop = new AbortController()
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => (release = resolve))
    let lateBuffer: Uint8Array | undefined
    let givenBack = (_buffer: Uint8Array): void => undefined
    const back = new Promise<Uint8Array>((resolve) => (givenBack = resolve))
    const body = async function* () {
      yield Buffer.alloc(PART)
      stop.abort(new Error('enough'))
      await gate
      lateBuffer = Buffer.alloc(PART)
      yield lateBuffer
    }
    const put = store.put({
      key: 'hung',
      body: body(),
      length: 3 * PART,
      metadata: metadataOf(),
      signal: stop.signal,
      onPartSettled: (buffer) => {
        if (buffer === lateBuffer) givenBack(buffer)
      },
    })
    await expect(put).rejects.toThrow('enough')
    release()
    expect(await back).toBe(lateBuffer)
    expect(await leftAt(store, 'hung')).toEqual(NOTHING)
  })

  test('a signal that is aborted already asks neither body nor store for anything', async () => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    const before = proxy.seen.length
    const put = store.put({
      key: 'never',
      body: neverAsked(),
      length: 3 * PART,
      metadata: metadataOf(),
      signal: AbortSignal.abort(new Error('too late')),
    })
    await expect(put).rejects.toThrow('too late')
    expect(proxy.seen).toHaveLength(before)
  })
})

// eslint-disable-next-line @typescript-eslint/require-await
async function* neverAsked(): AsyncGenerator<Buffer> {
  yield Buffer.alloc(0)
  expect.unreachable('the body was asked')
}

describe('limits', () => {
  test('what the store can’t hold is SOURCE_TOO_LARGE before the body or the store is asked for anything', async () => {
    await using opened = await openFresh(SERVERS[1]!, { maxObjectLength: 2 * PART })
    const { store, proxy } = opened
    const before = proxy.seen.length
    const put = store.put({ key: 'huge', body: neverAsked(), length: 2 * PART + 1, metadata: metadataOf() })
    await expect(put).rejects.toMatchObject({ code: 'SOURCE_TOO_LARGE' })
    expect(proxy.seen).toHaveLength(before)
    expect(await all(store.list(''))).toEqual([])
  })

  test('a put of 256 MiB holds no more than queueSize + 1 parts at any time', async () => {
    await using opened = await openFresh(SERVERS[1]!, { partSize: 8 * 1024 * 1024, queueSize: 4 })
    const { store } = opened
    const length = 256 * 1024 * 1024
    const size = store.partSizeFor(length)
    let out = 0
    let most = 0
    const pool: Buffer[] = []
    const body = async function* () {
      for (let from = 0; from < length; from += size) {
        const buffer = pool.pop() ?? Buffer.alloc(size)
        // Reused buffers get other bytes: one that was still being sent would arrive damaged.
        buffer.fill(from / size)
        out++
        most = Math.max(most, out)
        yield await Promise.resolve(buffer)
      }
    }
    const result = await store.put({
      key: 'big',
      body: body(),
      length,
      metadata: metadataOf(),
      onPartSettled: (buffer) => {
        out--
        pool.push(buffer as Buffer)
      },
    })
    expect(store.queueSizeFor(length)).toBe(4)
    expect(most).toBeLessThanOrEqual(store.queueSizeFor(length) + 1)
    expect(most).toBeGreaterThan(1)
    expect(out).toBe(0)
    let at = 0
    for await (const chunk of store.reader({ key: 'big', ...result }).read(0, length)) {
      for (const offset of [0, chunk.length - 1]) expect(chunk[offset]).toBe(Math.floor((at + offset) / size))
      at += chunk.length
    }
    expect(at).toBe(length)
  })
})

onServers(SERVERS, 'the first try of a put in one request on', (server) => {
  /** The SDK's own requests name it. */
  const bySdk = (headers: Readonly<Record<string, unknown>>): boolean =>
    String(headers['user-agent']).includes('aws-sdk')

  test.each([
    ['succeeds without the SDK', undefined, [false]],
    ['is repeated by the SDK after a 503', { kind: 'status', status: 503, code: 'SlowDown' }, [false, true]],
    ['is repeated by the SDK after a wrong signature', { kind: 'wrong-signature' }, [false, true]],
    ['is repeated by the SDK after a connection that breaks', { kind: 'reset' }, [false, true]],
  ] as const)('%s', async (_name, fault, tries) => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    if (fault !== undefined) proxy.inject('PutObject', fault, { times: 1 })
    const bytes = pattern(1_000)
    const key = `default/${randomUUID()}/it's (1)!*`
    const metadata = metadataOf(randomUUID(), Buffer.from('what it is for'))
    const result = await store.put({ key, body: inParts(bytes), length: 1_000, metadata })

    const puts = proxy.seen.filter(({ operation }) => operation === 'PutObject')
    expect(puts.map(({ headers }) => bySdk(headers))).toEqual(tries)
    const head = await store.head(key)
    expect(head).toMatchObject({ length: 1_000, etag: result.etag, metadata })
    expect(sha256(await collect(store.reader({ key, ...result }).read(0, 1_000)))).toBe(sha256(bytes))
  })
})

import { freshBucket, startFaultProxy, type Fault, type S3Operation } from '@sealfleet/testkit'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { openStore } from '../src/store.js'
import type { Capabilities } from '../src/capabilities.js'
import { addressOf, all, inParts, metadataOf, onServers, openFresh, pattern, SERVERS } from './support.js'

/** What these servers could do when this was written: a change of theirs is worth knowing. */
const KNOWN: Record<string, Capabilities> = {
  s3rver: {
    probed: true,
    ifNoneMatch: { put: false, complete: false },
    ifMatch: false,
    versioning: false,
    listUploads: false,
    abortUploads: false,
    listVersions: false,
    checksumInHead: false,
    etagIsMd5: { put: true, multipart: false },
    delete: true,
  },
  radosgw: {
    probed: true,
    ifNoneMatch: { put: true, complete: false },
    ifMatch: true,
    versioning: false,
    listUploads: true,
    abortUploads: true,
    listVersions: true,
    checksumInHead: false,
    etagIsMd5: { put: true, multipart: true },
    delete: true,
  },
}
const { radosgw } = KNOWN as { radosgw: Capabilities }
KNOWN['radosgw with versions'] = { ...radosgw, versioning: true, ifNoneMatch: { put: false, complete: false } }

onServers(SERVERS, 'opening', (server) => {
  test('finds out what it can do and leaves nothing behind', async () => {
    await using opened = await openFresh(server, {})
    const { store } = opened
    expect(store.capabilities).toEqual(KNOWN[server.name])
    expect(await all(store.list(''))).toEqual([])
    expect(await all(store.listVersions(''))).toEqual([])
    if (store.capabilities.listUploads) expect(await all(store.listUploads(''))).toEqual([])
    expect(opened.warnings).toEqual([])
  })

  test('read-only writes nothing', async () => {
    await using opened = await openFresh(server, { access: 'read-only' })
    expect(opened.store.capabilities.probed).toBe(false)
    expect(opened.proxy.seen.map(({ operation }) => operation)).toEqual(['GetObject'])
  })

  test.each(['read-write', 'read-only'] as const)('a missing bucket is S3_NO_BUCKET (%s)', async (access) => {
    await using bucket = await freshBucket(server.kind)
    const open = openStore({ ...addressOf(bucket), bucket: 'no-such-bucket-here', access })
    await expect(open).rejects.toMatchObject({ code: 'S3_NO_BUCKET', fix: expect.stringContaining('bucket') as string })
  })
})

describe('opening radosgw', () => {
  test.each(['read-write', 'read-only'] as const)(
    'a wrong secret is S3_ACCESS_DENIED and is nowhere in the error (%s)',
    async (access) => {
      await using bucket = await freshBucket('radosgw')
      const secretAccessKey = 'not-the-secret-1234567890'
      const error: unknown = await openStore({ ...addressOf(bucket), secretAccessKey, access }).then(
        () => expect.unreachable('it opened'),
        (reason: unknown) => reason,
      )
      expect(error).toMatchObject({ code: 'S3_ACCESS_DENIED', httpStatus: 403 })
      const told = tell(error)
      expect(told).toContain('SignatureDoesNotMatch')
      for (const secret of [secretAccessKey, bucket.secretAccessKey, bucket.accessKeyId])
        expect(told).not.toContain(secret)
    },
  )

  test('an unknown access key is S3_ACCESS_DENIED', async () => {
    await using bucket = await freshBucket('radosgw')
    const open = openStore({ ...addressOf(bucket), accessKeyId: 'NOBODY1234567890' })
    await expect(open).rejects.toMatchObject({ code: 'S3_ACCESS_DENIED' })
  })

  test('credentials that may not delete: it works, says so and warns of the object that stays', async () => {
    await using bucket = await freshBucket('radosgw')
    await using proxy = await startFaultProxy(bucket.endpoint)
    proxy.inject('DeleteObject', { kind: 'status', status: 403, code: 'AccessDenied' })
    const warnings: string[] = []
    using store = await openStore({
      ...addressOf(bucket),
      endpoint: proxy.endpoint,
      onWarning: ({ code, fix }) => warnings.push(`${code} ${fix}`),
    })
    expect(store.capabilities.delete).toBe(false)
    expect(warnings).toEqual([expect.stringMatching(/^S3_ACCESS_DENIED .*s3:DeleteObject on \.sealfleet-probe\//)])
  })

  test.each<[string, S3Operation, Fault, string]>([
    [
      'no multipart uploads',
      'CreateMultipartUpload',
      { kind: 'status', status: 501, code: 'NotImplemented' },
      'S3_UNSUPPORTED',
    ],
    ['throttled', 'PutObject', { kind: 'status', status: 503, code: 'SlowDown' }, 'S3_THROTTLED'],
    ['failing', 'HeadObject', { kind: 'status', status: 500, code: 'InternalError' }, 'S3_UNAVAILABLE'],
    ['no answer', 'PutObject', { kind: 'silence' }, 'S3_TIMEOUT'],
  ])('%s: the coded error', async (_name, operation, fault, code) => {
    await using bucket = await freshBucket('radosgw')
    await using proxy = await startFaultProxy(bucket.endpoint)
    proxy.inject(operation, fault)
    const patience = fault.kind === 'silence' ? 500 : 30_000
    const open = openStore({
      ...addressOf(bucket),
      endpoint: proxy.endpoint,
      maxAttempts: 2,
      requestTimeoutMs: patience,
    })
    await expect(open).rejects.toMatchObject({ code })
  })

  test('a store that refuses to hear of If-None-Match is used without', async () => {
    await using bucket = await freshBucket('radosgw')
    await using proxy = await startFaultProxy(bucket.endpoint)
    const conditional = { when: ({ headers }: { headers: object }) => 'if-none-match' in headers }
    proxy.inject('PutObject', { kind: 'status', status: 501, code: 'NotImplemented' }, conditional)
    using store = await openStore({ ...addressOf(bucket), endpoint: proxy.endpoint })
    expect(store.capabilities.ifNoneMatch).toEqual({ put: false, complete: false })
    const body = inParts(pattern(10))
    await expect(store.put({ key: 'k', body, length: 10, metadata: metadataOf() })).resolves.toMatchObject({
      length: 10,
    })
  })

  test('an abort ends the opening with the signal’s reason', async () => {
    await using bucket = await freshBucket('radosgw')
    await using proxy = await startFaultProxy(bucket.endpoint)
    proxy.inject('HeadObject', { kind: 'silence' })
    const stop = new AbortController()
    const open = openStore({ ...addressOf(bucket), endpoint: proxy.endpoint, signal: stop.signal })
    const ended = expect(open).rejects.toThrow('never mind')
    await proxy.arrival('HeadObject')
    stop.abort(new Error('never mind'))
    await ended
  })
})

const NOBODY = { region: 'us-east-1', bucket: 'any', accessKeyId: 'a', secretAccessKey: 'b', maxAttempts: 2 }

test('no server at the address is S3_UNAVAILABLE', async () => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  server.close()
  await once(server, 'close')
  const open = openStore({ ...NOBODY, endpoint: `http://127.0.0.1:${address.port}` })
  await expect(open).rejects.toMatchObject({ code: 'S3_UNAVAILABLE', cause: { code: 'ECONNREFUSED' } })
})

test('something that isn’t S3 is no success', async () => {
  const server = createServer((socket) => socket.end('220 mail.example ready\r\n'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const open = openStore({ ...NOBODY, endpoint: `http://127.0.0.1:${address.port}`, maxAttempts: 1 })
  await expect(open).rejects.toMatchObject({ code: 'S3_UNAVAILABLE' })
  server.close()
})

test.each([
  ['partSize', 5 * 1024 * 1024 - 1],
  ['partSize', 1.5 * 1024 ** 2 + 0.5],
  ['queueSize', 0],
  ['maxBytesInFlight', -1],
])('%s of %d is refused before anything is sent', async (name, value) => {
  await expect(openStore({ ...NOBODY, endpoint: 'http://127.0.0.1:1', [name]: value })).rejects.toBeInstanceOf(
    RangeError,
  )
})

/** All that a logger could find in an error. */
function tell(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = Object.getOwnPropertyNames(error).map((name) => JSON.stringify(Reflect.get(error, name)))
  return [error.message, error.stack, ...own, error.cause === undefined ? '' : tell(error.cause)].join('\n')
}

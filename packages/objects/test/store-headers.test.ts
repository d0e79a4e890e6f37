import { PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3'
import { openStore, type Store } from '@sealfleet/store'
import { freshBucket, startFaultProxy, type FreshBucket } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { storedHeaders, type StoredHeader } from '../src/store-headers.js'
import { sealedObject } from './sealed-header.js'

async function put(store: Store, key: string, body: Buffer): Promise<void> {
  const once = (async function* () {
    yield await Promise.resolve(body)
  })()
  await store.put({ key, body: once, length: body.length, metadata: {} })
}

async function all(found: AsyncIterable<StoredHeader>): Promise<StoredHeader[]> {
  const list: StoredHeader[] = []
  for await (const one of found) list.push(one)
  return list
}

const said = (one: StoredHeader) => [one.entry.key, 'info' in one ? one.info.encKeyVersion : one.code]

describe.each([
  ['s3rver', 's3rver', {}],
  ['radosgw', 'radosgw', {}],
  ['radosgw with versions', 'radosgw', { versioning: true }],
] as const)('on %s', (_, kind, options) => {
  let bucket: FreshBucket
  let store: Store
  beforeAll(async () => {
    bucket = await freshBucket(kind, options)
    store = await openStore({ ...bucket })
  })
  afterAll(async () => {
    store?.close()
    await bucket?.[Symbol.asyncDispose]()
  })

  test('every object comes in the order of the listing with its header, what is none with its code', async () => {
    const long = sealedObject({}, 3).subarray(0, 415)
    const future = sealedObject()
    future.writeUInt16BE(2, 0x008)
    for (const [key, body] of [
      ['default/a', sealedObject({ enc: 7 })],
      ['default/b', Buffer.alloc(319)],
      ['default/c', Buffer.from('no sealed object, but longer than a header'.repeat(10))],
      ['default/d', long],
      ['default/e', future],
      ['default/f', sealedObject({ enc: 9 })],
      ['other/g', sealedObject({ enc: 11 })],
      ['sealfleet-audit/checkpoints/1.json', Buffer.from('{}')],
      ['.sealfleet-probe/x', Buffer.from('left by a process that died')],
    ] as const)
      await put(store, key, body)
    const expected = [
      ['default/a', 7],
      ['default/b', 'E_FORMAT'],
      ['default/c', 'E_FORMAT'],
      ['default/d', 'E_LENGTH'],
      ['default/e', 'E_UNSUPPORTED'],
      ['default/f', 9],
      ['other/g', 11],
    ]
    for (const atOnce of [1, 2, 8, 100])
      expect((await all(storedHeaders(store, { atOnce }))).map(said), `${atOnce} at once`).toEqual(expected)
    expect((await all(storedHeaders(store, { prefix: 'other/' }))).map(said)).toEqual([['other/g', 11]])
  })

  test('what vanishes between listing and reading is passed over, and what takes its place is not taken for it', async () => {
    for (const n of [1, 2, 3]) await put(store, `gone/${n}`, sealedObject({ enc: n }))
    const seen: unknown[] = []
    for await (const one of storedHeaders(store, { prefix: 'gone/', atOnce: 1 })) {
      seen.push(said(one))
      for await (const { key, version } of store.listVersions('gone/2')) await store.deleteVersion(key, version)
    }
    expect(seen).toEqual([
      ['gone/1', 1],
      ['gone/3', 3],
    ])
  })

  test('an abort ends it with its reason', async () => {
    const stop = new AbortController()
    const reason = new Error('enough')
    const reading = (async () => {
      for await (const _one of storedHeaders(store, { signal: stop.signal, atOnce: 1 })) stop.abort(reason)
    })()
    await expect(reading).rejects.toBe(reason)
  })
})

test('every version of a key is read, those under a delete marker and from before there were versions included', async () => {
  await using bucket = await freshBucket('radosgw')
  const client = new S3Client({
    ...{ endpoint: bucket.endpoint, region: bucket.region, forcePathStyle: true },
    credentials: { accessKeyId: bucket.accessKeyId, secretAccessKey: bucket.secretAccessKey },
  })
  {
    using before = await openStore({ ...bucket })
    await put(before, 'k', sealedObject({ enc: 1 }))
  }
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await client.send(new PutBucketVersioningCommand({ Bucket: bucket.bucket, VersioningConfiguration }))
  client.destroy()
  using store = await openStore({ ...bucket })
  await store.delete('k')
  const versions = async () => (await all(storedHeaders(store))).map(said)
  expect(await versions()).toEqual([['k', 1]])
  await put(store, 'k', sealedObject({ enc: 2 }))
  await store.delete('k')
  expect(await versions()).toEqual([
    ['k', 2],
    ['k', 1],
  ])
})

test('one request of 320 bytes an object, whatever its size; breaking off waits for what is under way', async () => {
  await using bucket = await freshBucket('s3rver')
  const proxy = await startFaultProxy(bucket.endpoint)
  try {
    using store = await openStore({ ...bucket, endpoint: proxy.endpoint })
    for (let n = 0; n < 6; n++) await put(store, `k${n}`, sealedObject({ enc: n + 1 }, 500_000))
    const before = proxy.seen.length
    for await (const one of storedHeaders(store, { atOnce: 3 })) {
      expect(said(one)).toEqual(['k0', 1])
      break
    }
    await all(storedHeaders(store))
    const gets = proxy.seen.slice(before).filter(({ operation }) => operation === 'GetObject')
    expect(gets.length).toBeGreaterThanOrEqual(6)
    expect(gets.length).toBeLessThanOrEqual(10)
    expect(new Set(gets.map(({ headers }) => headers['range']))).toEqual(new Set(['bytes=0-319']))
    expect(gets.every(({ headers }) => headers['if-match'] !== undefined)).toBe(true)
  } finally {
    await proxy[Symbol.asyncDispose]()
  }
})

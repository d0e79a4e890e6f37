import { PutObjectLockConfigurationCommand, S3Client } from '@aws-sdk/client-s3'
import { freshBucket, startFaultProxy } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStore } from '../src/store.js'
import type { StoreError } from '../src/errors.js'
import { addressOf, all, inParts, metadataOf } from './support.js'

/** A bucket that keeps every object for a day, on Ceph's gateway. */
let bucket: Awaited<ReturnType<typeof freshBucket>>
let proxy: Awaited<ReturnType<typeof startFaultProxy>>
const warnings: StoreError[] = []

beforeAll(async () => {
  bucket = await freshBucket('radosgw', { retentionDays: 1 })
  proxy = await startFaultProxy(bucket.endpoint)
})
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]()
  await bucket?.[Symbol.asyncDispose]()
})

const open = () =>
  openStore({ ...addressOf(bucket), endpoint: proxy.endpoint, onWarning: (warning) => warnings.push(warning) })
const written = () =>
  proxy.seen.filter(({ operation }) => operation === 'PutObject' || operation === 'CompleteMultipartUpload').length

describe('a bucket with object lock', () => {
  test('is tried out once: the first process remembers what it saw, the next ones write nothing', async () => {
    using first = await open()
    expect(first.capabilities).toMatchObject({ probed: true, delete: false, lockedUntil: expect.any(Date) as Date })
    expect(warnings.map(({ code, message }) => `${code} ${message}`)).toEqual([
      expect.stringMatching(/^OBJECT_LOCKED what is written to bucket \S+ is locked until \d{4}-\d\d-\d\dT/),
    ])
    const before = await all(first.listVersions(''))
    proxy.reset()
    using second = await open()
    expect(second.capabilities).toEqual({ ...first.capabilities, lockedUntil: expect.any(Date) as Date })
    expect(proxy.seen.map(({ operation }) => operation)).toEqual(['HeadObject'])
    expect(await all(second.listVersions(''))).toEqual(before)
    expect(warnings).toHaveLength(1)
  })

  test('is checked by a part that is taken back: no object and no upload stays, and a store that writes nothing does not pass', async () => {
    using store = await open()
    const before = await all(store.listVersions(''))
    proxy.reset()
    await store.check()
    await store.check()
    expect(written()).toBe(0)
    expect(await all(store.listVersions(''))).toEqual(before)
    expect(await all(store.listUploads(''))).toEqual([])
    proxy.inject('UploadPart', { kind: 'status', status: 507, code: 'InsufficientStorage' })
    await expect(store.check()).rejects.toMatchObject({ code: 'S3_UNAVAILABLE' })
    proxy.heal()
  })

  test('says until when it keeps what cannot be deleted', async () => {
    using store = await open()
    const { version } = await store.put({
      key: 'a/b/c',
      body: inParts(Buffer.from('x')),
      length: 1,
      metadata: metadataOf(),
    })
    const { lock } = await store.head('a/b/c')
    expect(lock?.until?.getTime()).toBeGreaterThan(Date.now())
    await expect(store.deleteVersion('a/b/c', version)).rejects.toMatchObject({
      code: 'OBJECT_LOCKED',
      message: `a/b/c is locked until ${lock?.until?.toISOString()}`,
    })
  })
})

test('a bucket that gets a retention after it was opened is written to once more, and no more', async () => {
  await using plain = await freshBucket('radosgw', { retentionDays: 0 })
  await using own = await startFaultProxy(plain.endpoint)
  using store = await openStore({ ...addressOf(plain), endpoint: own.endpoint, onWarning: (one) => warnings.push(one) })
  expect(store.capabilities).toMatchObject({ delete: true })
  const { endpoint, region, accessKeyId, secretAccessKey } = plain
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
  const Rule = { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } } as const
  const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled', Rule } as const
  await client.send(new PutObjectLockConfigurationCommand({ Bucket: plain.bucket, ObjectLockConfiguration }))
  client.destroy()
  warnings.length = 0
  for (let i = 0; i < 3; i++) await store.check()
  expect(warnings.map(({ code }) => code)).toEqual(['OBJECT_LOCKED'])
  expect(await all(store.listVersions(''))).toHaveLength(1)
})

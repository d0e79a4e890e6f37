/** The policy of docs/operate/rights.md, on a server that enforces it: it suffices, and nothing in it is too much. */
import { readdirSync, readFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { bucketAs, documentedPolicy, freshBucket, type FreshBucket, type PolicyUser } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStore } from '../src/store.js'
import type { Store } from '../src/types.js'
import type { StoreError } from '../src/errors.js'
import { addressOf, metadataOf, PART, pattern } from './support.js'

/** What each command of the SDK needs. https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html */
const ACTIONS: Readonly<Record<string, readonly string[]>> = {
  PutObject: ['s3:PutObject'],
  CreateMultipartUpload: ['s3:PutObject'],
  UploadPart: ['s3:PutObject'],
  CompleteMultipartUpload: ['s3:PutObject'],
  AbortMultipartUpload: ['s3:AbortMultipartUpload'],
  GetObject: ['s3:GetObject', 's3:GetObjectVersion'],
  HeadObject: ['s3:GetObject', 's3:GetObjectVersion'],
  DeleteObject: ['s3:DeleteObject', 's3:DeleteObjectVersion'],
  ListObjectsV2: ['s3:ListBucket'],
  ListObjectVersions: ['s3:ListBucketVersions'],
  ListMultipartUploads: ['s3:ListBucketMultipartUploads'],
}

test('names the actions of every request that the code can send, and no other', () => {
  const src = new URL('../src/', import.meta.url)
  const sent = readdirSync(src).flatMap((file) =>
    [...readFileSync(new URL(file, src), 'utf8').matchAll(/new (\w+)Command\(/g)].map(([, name = '']) => name),
  )
  const needed = new Set(sent.flatMap((name) => ACTIONS[name] ?? [`no action is known for ${name}`]))
  expect(new Set(documentedPolicy().Statement.flatMap(({ Action }) => Action))).toEqual(needed)
})

let bucket: FreshBucket
beforeAll(async () => {
  bucket = await freshBucket('radosgw', { versioning: true })
})
afterAll(() => bucket?.[Symbol.asyncDispose]())

/** The store as one of the policy's users sees it. @param without an action that is left out */
async function storeOf(user: PolicyUser, warnings: StoreError[] = [], without?: string): Promise<Store> {
  return openStore({
    ...(await bucketAs(user, bucket, without)),
    partSize: PART,
    maxAttempts: 1,
    access: user === 'auditor' ? 'read-only' : 'read-write',
    onWarning: (warning) => warnings.push(warning),
  })
}

function bodyOf(bytes: Buffer, size: number): AsyncIterable<Buffer> {
  const pieces = Math.ceil(bytes.length / size)
  return Readable.from(Array.from({ length: pieces }, (_, n) => bytes.subarray(n * size, (n + 1) * size)))
}

/** An object put in one piece, and one in parts. */
async function put(store: Store, length: number): Promise<{ key: string; version: string | undefined; etag: string }> {
  const key = `default/${randomUUID()}/${randomUUID()}`
  const bytes = pattern(length)
  const body = bodyOf(bytes, store.partSizeFor(length))
  const { etag, version } = await store.put({ key, length, body, metadata: metadataOf() })
  return { key, version, etag }
}

async function all<T>(list: AsyncIterable<T>): Promise<readonly T[]> {
  const entries: T[] = []
  for await (const entry of list) entries.push(entry)
  return entries
}

/** A store's reader of what was put, at a range. */
async function read(store: Store, { key, version, etag }: Awaited<ReturnType<typeof put>>, length: number) {
  const reader = store.reader({ key, length, etag, ...(version !== undefined && { version }) })
  return Buffer.concat(await all(reader.read(10, 20)))
}

/** What a user of that kind does to the store. */
const WORK: Readonly<Record<PolicyUser, (store: Store, stored: Awaited<ReturnType<typeof put>>) => Promise<void>>> = {
  worker: async (store) => {
    for (const length of [1_000, PART + 1_000]) {
      const stored = await put(store, length)
      expect(await read(store, stored, length)).toEqual(pattern(length).subarray(10, 30))
    }
    await store.check()
  },
  maintenance: async (store, stored) => {
    await WORK.worker(store, stored)
    await all(store.listUploads(''))
    expect((await all(store.listVersions(''))).map(({ key }) => key)).toContain(stored.key)
    const own = await put(store, 1_000)
    await store.deleteVersion(own.key, own.version ?? '')
    const unversioned = await put(store, 1_000)
    await store.delete(unversioned.key)
  },
  auditor: async (store, stored) => {
    expect(await read(store, stored, 1_000)).toEqual(pattern(1_000).subarray(10, 30))
    await store.head(stored.key)
    expect((await all(store.list('default/'))).length).toBeGreaterThan(0)
    expect((await all(store.listVersions('default/'))).length).toBeGreaterThan(0)
  },
}

describe.each(Object.keys(WORK) as PolicyUser[])('%s', (user) => {
  let stored: Awaited<ReturnType<typeof put>>
  beforeAll(async () => {
    using owner = await openStore(addressOf(bucket))
    stored = await put(owner, 1_000)
  })

  test('does its work under the policy, without a warning', async () => {
    const warnings: StoreError[] = []
    using store = await storeOf(user, warnings)
    await WORK[user](store, stored)
    expect(warnings.map(({ message }) => message)).toEqual([])
  })

  test('can do nothing else', async () => {
    using store = await storeOf(user)
    const refused = { code: 'S3_ACCESS_DENIED' }
    if (user !== 'maintenance') {
      await expect(store.deleteVersion(stored.key, stored.version ?? '')).rejects.toMatchObject(refused)
      await expect(store.delete(stored.key)).rejects.toMatchObject(refused)
    }
    if (user === 'auditor') {
      await expect(put(store, 1_000)).rejects.toMatchObject(refused)
      await expect(put(store, PART + 1_000)).rejects.toMatchObject(refused)
    }
    expect(await all(store.list(stored.key))).toHaveLength(1)
  })
})

test.each<[PolicyUser, string]>([
  ['worker', 's3:ListBucketMultipartUploads'],
  ['worker', 's3:ListBucketVersions'],
  ['worker', 's3:AbortMultipartUpload'],
  ['worker', 's3:DeleteObjectVersion'],
])('a %s who lacks %s is warned with the action', async (user, action) => {
  const warnings: StoreError[] = []
  using _store = await storeOf(user, warnings, action)
  expect(warnings.map(({ fix }) => fix).join('\n')).toContain(
    action === 's3:DeleteObjectVersion' ? 's3:DeleteObject' : action,
  )
})

import { freshBucket, startFaultProxy, type FaultProxy, type FreshBucket, type S3ServerKind } from '@sealfleet/testkit'
import { createHash, randomUUID } from 'node:crypto'
import { afterAll, describe } from 'vitest'
import type { StoreError } from '../src/errors.js'
import { openStore } from '../src/store.js'
import { objectMetadata } from '../src/metadata.js'
import type { Store, StoreOptions } from '../src/types.js'

export const PART = 5 * 1024 * 1024

export interface Server {
  readonly name: string
  readonly kind: S3ServerKind
  readonly versioning: boolean
}

/** The servers of the suite. What each can do is what `capabilities` says; only capabilities.test.ts knows it by name. */
export const SERVERS: readonly Server[] = [
  { name: 's3rver', kind: 's3rver', versioning: false },
  { name: 'radosgw', kind: 'radosgw', versioning: false },
  { name: 'radosgw with versions', kind: 'radosgw', versioning: true },
]

/**
 * The same tests on each of these servers: those of radosgw, which is nearest to what people run, with `npm test`, and those of
 * the others in the long run.
 */
export function onServers(servers: readonly Server[], name: string, body: (server: Server) => void): void {
  for (const server of servers) {
    const tags = server.name === 'radosgw' ? [] : ['long']
    describe(`${name} ${server.name}`, { tags }, () => body(server))
  }
}

export interface Opened extends AsyncDisposable {
  readonly store: Store
  readonly bucket: FreshBucket
  /** Between store and server; harmless until told otherwise. */
  readonly proxy: FaultProxy
  readonly warnings: StoreError[]
}

const shared = new Map<string, Opened>()

afterAll(async () => {
  for (const opened of shared.values()) await opened[Symbol.asyncDispose]()
  shared.clear()
})

/**
 * A store on an empty bucket, with a fault proxy before it. Without options of its own a test gets the one that the
 * file's tests before it had, emptied: making a bucket and trying it out takes longer than most tests.
 */
export async function openFresh(server: Server, options?: Partial<StoreOptions>): Promise<Opened> {
  if (options !== undefined) return await openOwn(server, options)
  const opened = shared.get(server.name) ?? (await openOwn(server, {}))
  shared.set(server.name, opened)
  opened.proxy.reset()
  opened.warnings.length = 0
  return { ...opened, [Symbol.asyncDispose]: () => empty(opened) }
}

async function empty({ proxy, store }: Opened): Promise<void> {
  proxy.reset()
  for await (const { key, version } of store.listVersions('')) await store.deleteVersion(key, version)
  if (!store.capabilities.listUploads) return
  for await (const { key, uploadId } of store.listUploads('')) await store.abortUpload(key, uploadId)
}

async function openOwn(server: Server, options: Partial<StoreOptions>): Promise<Opened> {
  const bucket = await freshBucket(server.kind, { versioning: server.versioning })
  const proxy = await startFaultProxy(bucket.endpoint)
  const warnings: StoreError[] = []
  const dispose = async (store?: Store) => {
    store?.close()
    await proxy[Symbol.asyncDispose]()
    await bucket[Symbol.asyncDispose]()
  }
  try {
    const store = await openStore({
      ...addressOf(bucket),
      endpoint: proxy.endpoint,
      partSize: PART,
      maxAttempts: 2,
      onWarning: (warning) => warnings.push(warning),
      ...options,
    })
    return { store, bucket, proxy, warnings, [Symbol.asyncDispose]: () => dispose(store) }
  } catch (error) {
    await dispose()
    throw error
  }
}

export function addressOf({ endpoint, region, bucket, accessKeyId, secretAccessKey }: FreshBucket) {
  return { endpoint, region, bucket, accessKeyId, secretAccessKey }
}

/** Bytes that differ at every offset, so that a part in the wrong place shows. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let offset = 0; offset + 4 <= length; offset += 4)
    bytes.writeUInt32LE(Math.imul(offset + 1, 2654435761) >>> 0, offset)
  return bytes.fill(7, length - (length % 4))
}

/** The body that a put wants: buffers of exactly one part, each of its own. */
export async function* inParts(bytes: Uint8Array, partSize = PART): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += partSize) {
    await Promise.resolve()
    yield Buffer.from(bytes.subarray(from, from + partSize))
  }
}

export function metadataOf(attemptId: string = randomUUID(), context: Uint8Array = Buffer.from('a context, ünïcode')) {
  return objectMetadata({ fileId: randomUUID(), attemptId, context })
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

/** For comparing big buffers: a failed `toEqual` on them would print millions of numbers. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Nothing at the key, and no unfinished upload where the store can tell. */
export async function leftAt(store: Store, key: string): Promise<{ objects: number; uploads: number }> {
  const objects = await all(store.list(key))
  const uploads = store.capabilities.listUploads ? await all(store.listUploads(key)) : []
  return { objects: objects.length, uploads: uploads.length }
}

export const NOTHING = { objects: 0, uploads: 0 }

import { PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { checksumOfParts, etagOfParts } from '../src/digests.js'
import { S3Connection } from '../src/s3-connection.js'
import { DEFAULT_MAX_OBJECT } from '../src/limits.js'
import { put } from '../src/put.js'
import type { StoreOptions } from '../src/types.js'
import { addressOf, metadataOf, openFresh, PART, SERVERS } from './support.js'

const LIMITS = { partSize: PART, queueSize: 3, maxBytesInFlight: 3 * PART, maxObjectLength: DEFAULT_MAX_OBJECT }

test('what lib-storage sends are the caller’s own buffers: nothing is copied', async () => {
  await using opened = await openFresh(SERVERS[0]!)
  using link = new S3Connection(addressOf(opened.bucket))
  const sent = new Set<unknown>()
  link.client.middlewareStack.add(
    (next) => async (args) => {
      sent.add((args.input as { Body?: unknown }).Body)
      return await next(args)
    },
    { step: 'initialize' },
  )
  const yielded: Buffer[] = []
  const settled: Uint8Array[] = []
  const body = async function* () {
    for (let part = 0; part < 5; part++) {
      const buffer = Buffer.alloc(part === 4 ? 10 : PART)
      yielded.push(buffer)
      yield await Promise.resolve(buffer)
    }
  }
  const context = { link, bucket: opened.store.bucket, capabilities: opened.store.capabilities, limits: LIMITS }
  await put(
    { ...context, onWarning: () => undefined },
    {
      key: 'k',
      body: body(),
      length: 4 * PART + 10,
      metadata: metadataOf(),
      onPartSettled: (buffer) => settled.push(buffer),
    },
  )
  expect(yielded).toHaveLength(5)
  for (const buffer of yielded) expect(sent.has(buffer)).toBe(true)
  expect(new Set(settled)).toEqual(new Set(yielded))
  expect(settled).toHaveLength(5)
})

test('the completion carries If-None-Match and the object’s size where the store honours the condition', async () => {
  await using opened = await openFresh(SERVERS[1]!)
  const { proxy, bucket, store } = opened
  using link = new S3Connection({ ...addressOf(bucket), endpoint: proxy.endpoint })
  const capabilities = { ...store.capabilities, ifNoneMatch: { put: true, complete: true } }
  const context = { link, bucket: store.bucket, capabilities, limits: LIMITS, onWarning: () => undefined }
  const body = async function* () {
    yield await Promise.resolve(Buffer.alloc(PART))
    yield Buffer.alloc(1)
  }
  await put(context, { key: 'k', body: body(), length: PART + 1, metadata: metadataOf() })
  const headers = proxy.seen.findLast(({ operation }) => operation === 'CompleteMultipartUpload')?.headers
  expect(headers).toMatchObject({ 'if-none-match': '*', 'x-amz-mp-object-size': String(PART + 1) })
  const parts = proxy.seen.filter(({ operation, partNumber }) => operation === 'UploadPart' && partNumber === 2)
  for (const { headers: sent } of parts) {
    expect(sent).not.toHaveProperty('expect')
    expect(sent).toHaveProperty('x-amz-checksum-crc32')
  }
})

test.each([
  ['over TLS bodies are not hashed for the signature when asked so', 'https://127.0.0.1:1', true, 'UNSIGNED-PAYLOAD'],
  ['over TLS they are hashed by default', 'https://127.0.0.1:1', false, sha256Hex('body')],
  ['without TLS they are hashed, asked or not', 'http://127.0.0.1:1', true, sha256Hex('body')],
])('%s', async (_name, endpoint, unsignedPayload, expected) => {
  const options: StoreOptions = {
    endpoint,
    region: 'us-east-1',
    bucket: 'b',
    accessKeyId: 'a',
    secretAccessKey: 's',
    unsignedPayload,
    maxAttempts: 1,
  }
  using link = new S3Connection(options)
  const hashes: (string | undefined)[] = []
  link.client.middlewareStack.add(
    (next) => async (args) => {
      hashes.push((args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'])
      return await next(args)
    },
    { step: 'deserialize', priority: 'low' },
  )
  const target = { Bucket: 'b', Key: 'k', Body: Buffer.from('body') }
  for (const command of [
    new PutObjectCommand(target),
    new UploadPartCommand({ ...target, UploadId: 'u', PartNumber: 1 }),
  ]) {
    const sent = link.request({ what: 'test' }, (client, o) =>
      command instanceof PutObjectCommand ? client.send(command, o) : client.send(command, o),
    )
    await expect(sent).rejects.toMatchObject({ code: 'S3_UNAVAILABLE' })
  }
  expect(hashes).toEqual([expected, expected])
})

test('whole-object digests follow from those of the parts', () => {
  const bodies = [Buffer.from('one'), Buffer.from('two'), Buffer.from('three')]
  const md5s = bodies.map((body) => createHash('md5').update(body).digest())
  const crcs = bodies.map((body) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(crc32(body))
    return bytes
  })
  const parts = bodies.map((_body, i) => ({
    etag: `"${md5s[i]?.toString('hex')}"`,
    crc32: crcs[i]?.toString('base64'),
  }))
  const all = createHash('md5').update(Buffer.concat(md5s)).digest('hex')
  expect(etagOfParts(parts)).toBe(`"${all}-3"`)
  const crc = Buffer.alloc(4)
  crc.writeUInt32BE(crc32(Buffer.concat(crcs)))
  expect(checksumOfParts(parts)).toEqual({
    algorithm: 'CRC32',
    value: `${crc.toString('base64')}-3`,
    type: 'composite',
  })
  expect(etagOfParts([{ etag: '"not-an-md5"', crc32: undefined }])).toBeUndefined()
  expect(checksumOfParts([{ etag: '""', crc32: undefined }])).toBeUndefined()
})

function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

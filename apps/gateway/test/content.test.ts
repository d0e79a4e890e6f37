import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { listAudit } from '@sealfleet/records/audit'
import { getFile } from '@sealfleet/records/files'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { rangeOf } from '../src/range.js'
import { startWorld, type World } from './support.js'

const MiB = 2 ** 20
const BYTES = randomBytes(5 * MiB + 17)

let world: World
/** A file of six segments, an empty one, and one that tests damage. */
let big: string
let empty: string
let damaged: string
let url: string
beforeAll(async () => {
  world = await startWorld({ SEALFLEET_GATEWAY_STALL_SECONDS: '2' })
  await using _worker = await world.worker()
  const files = [await stored(BYTES), await stored(Buffer.alloc(0)), await stored(BYTES)]
  ;[big = '', empty = '', damaged = ''] = files
  url = `/v1/files/${big}/content`
}, 120_000)
afterAll(() => world?.[Symbol.asyncDispose]())

async function stored(bytes: Buffer): Promise<string> {
  const path = await world.source(randomUUID(), bytes)
  const { fileId } = (await world.ask('POST', '/v1/files', { body: { root: 'in', path } })).json<{ fileId: string }>()
  const isStored = async () => expect((await world.ask('GET', `/v1/files/${fileId}`)).json().state).toBe('STORED')
  await vi.waitFor(isStored, { timeout: 60_000, interval: 100 })
  return fileId
}

const get = (headers: Record<string, string> = {}, of = url) => world.ask('GET', of, { headers })

describe('the range of a header', () => {
  test.each([
    [undefined, 10, 'whole'],
    ['bytes=0-0', 10, { start: 0, end: 1 }],
    ['bytes=0-', 10, { start: 0, end: 10 }],
    ['bytes=9-', 10, { start: 9, end: 10 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=0-99', 10, { start: 0, end: 10 }],
    ['bytes=-1', 10, { start: 9, end: 10 }],
    ['bytes=-99', 10, { start: 0, end: 10 }],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=-1', 0, 'unsatisfiable'],
    ['bytes=5-4', 10, 'whole'],
    ['bytes=0-1,3-4', 10, 'whole'],
    ['bytes=-', 10, 'whole'],
    ['bytes=+1-2', 10, 'whole'],
    ['bytes=1e1-', 10, 'whole'],
    ['lines=0-1', 10, 'whole'],
    ['bytes=0-99999999999999999999', 10, 'whole'],
  ] as const)('%s of %i', (header, length, expected) => expect(rangeOf(header, length)).toEqual(expected))
})

describe('a content', () => {
  test('comes whole, byte for byte, with its length and a strong tag; HEAD says the same', async () => {
    const reply = await get()
    expect(reply.status).toBe(200)
    expect(reply.bytes.equals(BYTES)).toBe(true)
    expect(reply.headers).toMatchObject({
      ...{
        'accept-ranges': 'bytes',
        'content-length': String(BYTES.length),
        'content-type': 'application/octet-stream',
      },
      etag: expect.stringMatching(/^"[0-9a-f-]{36}"$/) as string,
    })
    const head = await world.ask('HEAD', url)
    expect(head.status).toBe(200)
    for (const name of ['content-length', 'etag', 'accept-ranges', 'content-type'])
      expect(head.headers[name], name).toBe(reply.headers[name])
    const nothing = await get({}, `/v1/files/${empty}/content`)
    expect([nothing.status, nothing.headers['content-length'], nothing.bytes.length]).toEqual([200, '0', 0])
  })

  test.each([
    [0, 1],
    [0, MiB],
    [MiB - 1, MiB + 1],
    [MiB, 2 * MiB],
    [123, 3 * MiB + 5],
    [BYTES.length - 1, BYTES.length],
    [0, BYTES.length],
  ])('comes from %i to %i', async (start, end) => {
    const reply = await get({ range: `bytes=${start}-${end - 1}` })
    expect([reply.status, reply.headers['content-range']]).toEqual([206, `bytes ${start}-${end - 1}/${BYTES.length}`])
    expect(reply.headers['content-length']).toBe(String(end - start))
    expect(reply.bytes.equals(BYTES.subarray(start, end))).toBe(true)
  })

  test('beyond its end is 416 with its length; several ranges are the whole', async () => {
    const beyond = await get({ range: `bytes=${BYTES.length}-` })
    expect([beyond.status, beyond.headers['content-range'], beyond.json().code]).toEqual([
      ...[416, `bytes */${BYTES.length}`, 'RANGE_UNSATISFIABLE'],
    ])
    expect((await get({ range: 'bytes=0-1,4-5' })).status).toBe(200)
  })

  test('continues under its tag, and begins again under another', async () => {
    const { etag = '' } = (await world.ask('HEAD', url)).headers
    const range = 'bytes=0-9'
    expect((await get({ range, 'if-range': etag })).status).toBe(206)
    for (const other of ['"x"', `W/${etag}`, 'Tue, 01 Dec 2026 00:00:00 GMT'])
      expect((await get({ range, 'if-range': other })).status, other).toBe(200)
    expect((await get({ 'if-none-match': etag })).status).toBe(304)
    expect((await get({ 'if-none-match': '"x"', range })).status).toBe(206)
  })
})

/** Flips a bit of the stored object. */
async function damage(fileId: string, at: number): Promise<void> {
  const { objectKey: Key = '' } = (await getFile(world.records, fileId))?.committed ?? {}
  const { bucket } = world.fleet
  const { endpoint, region, accessKeyId, secretAccessKey } = bucket
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
  try {
    const got = await client.send(new GetObjectCommand({ Bucket: bucket.bucket, Key }))
    const bytes = Buffer.from((await got.Body?.transformToByteArray()) ?? [])
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    await client.send(new PutObjectCommand({ Bucket: bucket.bucket, Key, Body: bytes, Metadata: got.Metadata }))
  } finally {
    client.destroy()
  }
}

describe('a content whose object was changed', () => {
  test('later breaks off: the connection ends before its length, and the event is recorded', async () => {
    await damage(damaged, 4 * MiB + 1_000)
    const requestId = randomUUID()
    const reply = await get({ 'x-request-id': requestId }, `/v1/files/${damaged}/content`)
    expect(reply.status).toBe(200)
    expect(reply.whole).toBe(false)
    expect(reply.bytes.length).toBeLessThan(BYTES.length)
    // What came is authentic.
    expect(reply.bytes.equals(BYTES.subarray(0, reply.bytes.length))).toBe(true)
    const audit = () => listAudit(world.records, { subjectKind: 'file', subjectId: damaged })
    await expect
      .poll(async () => (await audit()).at(-1))
      .toMatchObject({
        ...{ action: 'files.read-failed', detail: { code: 'E_SEGMENT_AUTH', requestId } },
      })
    expect(
      world.lines.find((line) => line.requestId === requestId && line.msg.startsWith('a download was cut')),
    ).toBeDefined()
    // Segments before it are fine by themselves.
    const part = await get({ range: 'bytes=0-99' }, `/v1/files/${damaged}/content`)
    expect(part.bytes.equals(BYTES.subarray(0, 100))).toBe(true)
    const verified = await world.ask('POST', `/v1/files/${damaged}/verify`)
    expect(verified.json()).toMatchObject({ ok: false, code: 'E_SEGMENT_AUTH' })
  })

  test('in its first segment is a problem, and not a byte is sent', async () => {
    await damage(damaged, 1_000)
    const reply = await get({}, `/v1/files/${damaged}/content`)
    expect([reply.status, reply.json().code]).toEqual([500, 'E_SEGMENT_AUTH'])
  })
})

describe('readers', () => {
  test('that are slow get all of it, bytewise', async () => {
    const hash = createHash('sha256')
    await new Promise<void>((resolve, reject) => {
      const headers = { authorization: `Bearer ${world.token}` }
      request({ port: world.port, host: '127.0.0.1', path: url, headers }, (response) => {
        void (async () => {
          for await (const chunk of response) {
            hash.update(chunk as Buffer)
            await delay(2)
          }
          resolve()
        })().catch(reject)
      })
        .on('error', reject)
        .end()
    })
    expect(hash.digest('hex')).toBe(createHash('sha256').update(BYTES).digest('hex'))
  })

  test('that take nothing are cut off', async () => {
    const ended = new Promise<void>((resolve) => {
      const headers = { authorization: `Bearer ${world.token}` }
      const sent = request(
        { port: world.port, host: '127.0.0.1', path: url, headers, highWaterMark: 1 } as never,
        (response) => {
          response.pause()
          response.on('error', () => undefined)
        },
      )
      sent.on('error', () => undefined)
      sent.on('close', () => resolve())
      sent.end()
    })
    void ended
    await expect
      .poll(() => world.lines.some(({ msg }) => msg === 'a download was cut off: its reader took nothing'), {
        timeout: 15_000,
      })
      .toBe(true)
  }, 20_000)
})

import { expect, test } from 'vitest'
import { collect, inParts, metadataOf, onServers, type Opened, openFresh, pattern, SERVERS, sha256 } from './support.js'

const LENGTH = 1024 * 1024 + 1000

onServers(SERVERS, 'reading from', (server) => {
  async function putOne({ store }: Opened, length = LENGTH) {
    const bytes = pattern(length)
    const result = await store.put({ key: 'k', body: inParts(bytes), length, metadata: metadataOf() })
    return { bytes, result, reader: store.reader({ key: 'k', ...result }) }
  }

  test('any range is exactly its bytes', async () => {
    await using opened = await openFresh(server)
    const { bytes, reader } = await putOne(opened)
    for (const [offset, length] of [
      [0, 0],
      [0, 1],
      [1, 15],
      [LENGTH - 1, 1],
      [LENGTH, 0],
      [65_535, 2],
      [0, LENGTH],
    ] as const) {
      const got = await collect(reader.read(offset, length))
      expect([offset, got.length, sha256(got)]).toEqual([
        offset,
        length,
        sha256(bytes.subarray(offset, offset + length)),
      ])
    }
  })

  test.each([
    [-1, 1],
    [0, LENGTH + 1],
    [LENGTH, 1],
    [0.5, 1],
    [0, Number.NaN],
  ])('the range %d + %d is refused', async (offset, length) => {
    await using opened = await openFresh(server)
    const { store } = opened
    const reader = store.reader({ key: 'k', length: LENGTH, etag: '"x"' })
    await expect(collect(reader.read(offset, length))).rejects.toBeInstanceOf(RangeError)
  })

  test('a body that breaks is asked for again from where it broke, as often as it makes progress', async () => {
    await using opened = await openFresh(server)
    const { bytes, reader } = await putOne(opened)
    opened.proxy.inject('GetObject', { kind: 'cut-body', after: 200_000 }, { times: 5 })
    const before = opened.proxy.seen.length
    expect(sha256(await collect(reader.read(0, LENGTH)))).toBe(sha256(bytes))
    const ranges = opened.proxy.seen.slice(before).map(({ headers }) => headers.range)
    const starts = ranges.map((range) => Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1]))
    expect(starts).toHaveLength(6)
    expect(starts[0]).toBe(0)
    for (const [i, start] of starts.slice(1).entries()) {
      expect(start).toBeGreaterThan(starts[i] ?? NaN)
      expect(start - (starts[i] ?? NaN)).toBeLessThanOrEqual(200_000)
    }
  })

  test('a body that falls silent is asked for again', async () => {
    await using opened = await openFresh(server, { inactivityTimeoutMs: 200 })
    const { bytes, reader } = await putOne(opened)
    opened.proxy.inject('GetObject', { kind: 'stall-body', after: 1000 }, { times: 1 })
    expect(sha256(await collect(reader.read(0, LENGTH)))).toBe(sha256(bytes))
  })

  test.each([
    ['breaks', 'cut-body', 'S3_UNAVAILABLE'],
    ['falls silent', 'stall-body', 'S3_TIMEOUT'],
  ] as const)('a body that always %s without a byte is given up', async (_name, kind, code) => {
    await using opened = await openFresh(server, {
      maxAttempts: 2,
      ...(kind === 'stall-body' && { inactivityTimeoutMs: 200 }),
    })
    const { reader } = await putOne(opened)
    opened.proxy.inject('GetObject', { kind, after: 0 })
    await expect(collect(reader.read(0, LENGTH))).rejects.toMatchObject({ code })
  })

  test('an object replaced under the reader is noticed, or with versions read on', async () => {
    await using opened = await openFresh(server)
    const { store, proxy, bucket } = opened
    const { bytes, reader } = await putOne(opened)
    const head = await collect(reader.read(0, 1000))
    await overwrite(opened, 'k', pattern(LENGTH).reverse())
    const rest = collect(reader.read(1000, LENGTH - 1000))
    if (store.capabilities.versioning) {
      expect(sha256(Buffer.concat([head, await rest]))).toBe(sha256(bytes))
    } else {
      await expect(rest).rejects.toMatchObject({ code: 'S3_NO_SUCH_OBJECT' })
    }
    expect(proxy.endpoint).not.toBe(bucket.endpoint)
  })

  test('a missing object, a missing version and a shorter object have their codes', async () => {
    await using opened = await openFresh(server)
    const { store } = opened
    const { result } = await putOne(opened, 100)
    const missing = store.reader({ key: 'nothing', length: 1, etag: '"x"' })
    await expect(collect(missing.read(0, 1))).rejects.toMatchObject({ code: 'S3_NO_SUCH_OBJECT' })
    await expect(store.head('nothing')).rejects.toMatchObject({ code: 'S3_NO_SUCH_OBJECT', httpStatus: 404 })
    for (const [offset, length] of [
      [0, 50],
      [150, 10],
    ] as const) {
      const longer = store.reader({ key: 'k', ...result, length: 200 })
      await expect(collect(longer.read(offset, length))).rejects.toMatchObject({ code: 'LENGTH_MISMATCH' })
    }
    if (store.capabilities.versioning) {
      await store.deleteVersion('k', result.version)
      const gone = store.reader({ key: 'k', ...result })
      await expect(collect(gone.read(0, 1))).rejects.toMatchObject({ code: 'S3_NO_SUCH_OBJECT' })
    }
  })

  test('an abort ends a reading with the signal’s reason, also while the body is silent', async () => {
    await using opened = await openFresh(server)
    const { reader } = await putOne(opened)
    opened.proxy.inject('GetObject', { kind: 'stall-body', after: 1000 })
    const stop = new AbortController()
    const got = (async () => {
      for await (const chunk of reader.read(0, LENGTH, { signal: stop.signal })) {
        if (chunk.length > 0) stop.abort(new Error('that will do'))
      }
    })()
    await expect(got).rejects.toThrow('that will do')
  })

  test('a reader that stops early lets go of the connection', async () => {
    await using opened = await openFresh(server)
    const { reader, bytes } = await putOne(opened)
    for (let round = 0; round < 3; round++) {
      for await (const chunk of reader.read(0, LENGTH)) {
        expect(chunk[0]).toBe(bytes[0])
        break
      }
    }
    expect(await collect(reader.read(5, 3))).toEqual(bytes.subarray(5, 8))
  })
})

test('a reader without a pin is refused', async () => {
  await using opened = await openFresh(SERVERS[0]!)
  expect(() => opened.store.reader({ key: 'k', length: 1 })).toThrow(RangeError)
})

/** As someone would who knows nothing of conditions. */
async function overwrite({ bucket, store }: Opened, key: string, bytes: Buffer): Promise<void> {
  const { S3Client, PutObjectCommand } = await import('@aws-sdk/client-s3')
  const { endpoint, region, accessKeyId, secretAccessKey } = bucket
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
  await client.send(new PutObjectCommand({ Bucket: store.bucket, Key: key, Body: bytes }))
  client.destroy()
}

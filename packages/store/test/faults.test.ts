import { describe, expect, test } from 'vitest'
import type { Fault, Operation } from './fault-proxy.js'
import { collect, inParts, leftAt, metadataOf, NOTHING, openFresh, PART, pattern, SERVERS, sha256 } from './support.js'

const THREE = 3 * PART
/** Against real servers on the same machine: far more than they need, and no test waits for it but on purpose. */
const QUICK = { requestTimeoutMs: 700, minBytesPerSecond: 1024 ** 3 }

describe.each(SERVERS)('trouble on the way to $name', (server) => {
  test.each<[string, Operation, Fault]>([
    ['a part whose connection breaks', 'UploadPart', { kind: 'reset' }],
    ['a part whose answer is lost', 'UploadPart', { kind: 'lose-answer' }],
    ['a part that is told to slow down', 'UploadPart', { kind: 'status', status: 503, code: 'SlowDown' }],
    ['a part that meets a 500', 'UploadPart', { kind: 'status', status: 500, code: 'InternalError' }],
    ['a start whose connection breaks', 'CreateMultipartUpload', { kind: 'reset' }],
    [
      'a completion that meets a 500',
      'CompleteMultipartUpload',
      { kind: 'status', status: 500, code: 'InternalError' },
    ],
    ['a completion whose connection breaks', 'CompleteMultipartUpload', { kind: 'reset' }],
  ])('%s is tried again', async (_name, operation, fault) => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    proxy.inject(operation, fault, { times: 1 })
    const bytes = pattern(THREE)
    const result = await store.put({ key: 'k', body: inParts(bytes), length: THREE, metadata: metadataOf() })
    expect(result).toMatchObject({ length: THREE, recovered: false })
    expect(sha256(await collect(store.reader({ key: 'k', ...result }).read(0, THREE)))).toBe(sha256(bytes))
    expect(await leftAt(store, 'k')).toEqual({ objects: 1, uploads: 0 })
  })

  test.each<[string, Operation, number, Fault, string]>([
    ['throttles every part', 'UploadPart', THREE, { kind: 'status', status: 503, code: 'SlowDown' }, 'S3_THROTTLED'],
    ['says 429 to every part', 'UploadPart', THREE, { kind: 'status', status: 429, code: 'TooMany' }, 'S3_THROTTLED'],
    [
      'fails at every part',
      'UploadPart',
      THREE,
      { kind: 'status', status: 500, code: 'InternalError' },
      'S3_UNAVAILABLE',
    ],
    ['drops every part', 'UploadPart', THREE, { kind: 'reset' }, 'S3_UNAVAILABLE'],
    ['denies a part', 'UploadPart', THREE, { kind: 'status', status: 403, code: 'AccessDenied' }, 'S3_ACCESS_DENIED'],
    [
      'finds a part damaged',
      'UploadPart',
      THREE,
      { kind: 'status', status: 400, code: 'BadDigest' },
      'CHECKSUM_MISMATCH',
    ],
    ['can’t start', 'CreateMultipartUpload', THREE, { kind: 'status', status: 503, code: 'Busy' }, 'S3_UNAVAILABLE'],
    ['drops every completion', 'CompleteMultipartUpload', THREE, { kind: 'reset' }, 'S3_UNAVAILABLE'],
    [
      'refuses a completion',
      'CompleteMultipartUpload',
      THREE,
      { kind: 'status', status: 400, code: 'InvalidPart' },
      'S3_REJECTED',
    ],
    ['drops every small object', 'PutObject', 99, { kind: 'reset' }, 'S3_UNAVAILABLE'],
    ['throttles small objects', 'PutObject', 99, { kind: 'status', status: 503, code: 'SlowDown' }, 'S3_THROTTLED'],
  ])(
    'a store that %s: the coded error, buffers given back, nothing left',
    async (_name, operation, length, fault, code) => {
      await using opened = await openFresh(server, { maxAttempts: 2 })
      const { store, proxy } = opened
      proxy.inject(operation, fault)
      let out = Math.ceil(length / PART)
      const put = store.put({
        key: 'k',
        body: inParts(pattern(length)),
        length,
        metadata: metadataOf(),
        onPartSettled: () => out--,
      })
      await expect(put).rejects.toMatchObject({ name: 'StoreError', code, fix: expect.stringMatching(/\w/) as string })
      proxy.heal()
      expect(await leftAt(store, 'k')).toEqual(NOTHING)
      expect(opened.warnings).toEqual([])
      if (operation.startsWith('Complete')) expect(out).toBe(0)
    },
  )

  test.each<[string, Operation, number]>([
    ['part', 'UploadPart', THREE],
    ['start', 'CreateMultipartUpload', THREE],
    ['small object', 'PutObject', 99],
  ])('a %s that is never answered is S3_TIMEOUT after its tries', async (_name, operation, length) => {
    await using opened = await openFresh(server, { ...QUICK, maxAttempts: 2 })
    const { store, proxy } = opened
    proxy.inject(operation, { kind: 'silence' }, { when: ({ partNumber }) => (partNumber ?? 1) === 1 })
    const put = store.put({ key: 'k', body: inParts(pattern(length)), length, metadata: metadataOf() })
    await expect(put).rejects.toMatchObject({ code: 'S3_TIMEOUT' })
    const tries = proxy.seen.filter((one) => one.operation === operation && (one.partNumber ?? 1) === 1)
    expect(tries.length).toBeGreaterThanOrEqual(2)
    proxy.heal()
    expect(await leftAt(store, 'k')).toEqual(NOTHING)
  })

  test.each([
    ['in parts', 'CompleteMultipartUpload', THREE],
    ['small', 'PutObject', 99],
  ] as const)('an object %s whose last answer is lost is a success', async (_name, operation, length) => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    proxy.inject(operation, { kind: 'lose-answer' }, { times: 1 })
    const bytes = pattern(length)
    const result = await store.put({ key: 'k', body: inParts(bytes), length, metadata: metadataOf() })
    expect(result.length).toBe(length)
    expect(sha256(await collect(store.reader({ key: 'k', ...result }).read(0, length)))).toBe(sha256(bytes))
    expect(await leftAt(store, 'k')).toEqual({ objects: 1, uploads: 0 })
  })

  test.each([
    ['in parts', 'CompleteMultipartUpload', THREE],
    ['small', 'PutObject', 99],
  ] as const)('an object %s whose every last answer is lost is found by a HEAD', async (_name, operation, length) => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    proxy.inject(operation, { kind: 'lose-answer' })
    const put = store.put({ key: 'k', body: inParts(pattern(length)), length, metadata: metadataOf() })
    const result = await put
    expect(result).toMatchObject({ length, recovered: true })
    expect(result.version !== undefined).toBe(store.capabilities.versioning)
    expect(await store.head('k')).toMatchObject({ length, etag: result.etag })
    expect(await leftAt(store, 'k')).toEqual({ objects: 1, uploads: 0 })
  })

  test.each([
    [412, 'PreconditionFailed', 'S3_OBJECT_EXISTS'],
    [404, 'NoSuchUpload', 'S3_OBJECT_EXISTS'],
  ])(
    'a completion refused with %i is no success when the object is another attempt’s',
    async (status, code, expected) => {
      await using opened = await openFresh(server)
      const { store, proxy } = opened
      const theirs = metadataOf()
      await store.put({ key: 'k', body: inParts(pattern(THREE)), length: THREE, metadata: theirs })
      proxy.inject('CompleteMultipartUpload', { kind: 'status', status, code })
      const put = store.put({ key: 'k', body: inParts(pattern(THREE)), length: THREE, metadata: metadataOf() })
      await expect(put).rejects.toMatchObject({ code: expected })
      expect(await store.head('k')).toMatchObject({ metadata: theirs })
      expect(await leftAt(store, 'k')).toEqual({ objects: 1, uploads: 0 })
    },
  )

  test('a completion refused with 404 is no success when there is no object', async () => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    proxy.inject('CompleteMultipartUpload', { kind: 'status', status: 404, code: 'NoSuchUpload' })
    const put = store.put({ key: 'k', body: inParts(pattern(THREE)), length: THREE, metadata: metadataOf() })
    await expect(put).rejects.toMatchObject({ code: 'S3_NO_SUCH_UPLOAD' })
    expect(await leftAt(store, 'k')).toEqual(NOTHING)
  })

  test('this attempt’s object of another length is LENGTH_MISMATCH, never success', async () => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    const metadata = metadataOf()
    await store.put({ key: 'k', body: inParts(pattern(5)), length: 5, metadata })
    proxy.inject('PutObject', { kind: 'status', status: 412, code: 'PreconditionFailed' })
    const put = store.put({ key: 'k', body: inParts(pattern(6)), length: 6, metadata })
    await expect(put).rejects.toMatchObject({ code: 'LENGTH_MISMATCH' })
  })

  test('this attempt’s object of other bytes is CHECKSUM_MISMATCH where the store tells', async () => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    const metadata = metadataOf()
    await store.put({ key: 'k', body: inParts(Buffer.from('right')), length: 5, metadata })
    proxy.inject('PutObject', { kind: 'status', status: 412, code: 'PreconditionFailed' })
    const put = store.put({ key: 'k', body: inParts(Buffer.from('wrong')), length: 5, metadata })
    expect(store.capabilities.etagIsMd5.put).toBe(true)
    await expect(put).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' })
  })

  test('a start whose answer is lost leaves no second upload behind', async () => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    proxy.inject('CreateMultipartUpload', { kind: 'lose-answer' }, { times: 1 })
    await store.put({ key: 'k', body: inParts(pattern(THREE)), length: THREE, metadata: metadataOf() })
    expect(await leftAt(store, 'k')).toEqual({ objects: 1, uploads: 0 })
  })

  test('an abort does not wait for parts that are never answered, but for the store’s word that the upload is gone', async () => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    proxy.inject('UploadPart', { kind: 'silence' })
    const stop = new AbortController()
    let out = 0
    const body = async function* () {
      for (;;) {
        out++
        yield await Promise.resolve(Buffer.alloc(PART))
      }
    }
    const put = store.put({
      key: 'k',
      body: body(),
      length: 20 * PART,
      metadata: metadataOf(),
      signal: stop.signal,
      onPartSettled: () => out--,
    })
    const ended = expect(put).rejects.toThrow('drain')
    await proxy.arrival('UploadPart', store.queueSizeFor(20 * PART))
    stop.abort(new Error('drain'))
    await ended
    expect(out).toBe(0)
    const aborted = proxy.seen.some(({ operation }) => operation === 'AbortMultipartUpload')
    expect(aborted).toBe(true)
    expect(await leftAt(store, 'k')).toEqual(NOTHING)
  })

  test('no part settling for the inactivity time ends a put whose requests would go on', async () => {
    await using opened = await openFresh(server, { inactivityTimeoutMs: 300 })
    const { store, proxy } = opened
    proxy.inject('UploadPart', { kind: 'silence' })
    const put = store.put({ key: 'k', body: inParts(pattern(THREE)), length: THREE, metadata: metadataOf() })
    await expect(put).rejects.toMatchObject({
      code: 'S3_TIMEOUT',
      message: expect.stringContaining('no part') as string,
    })
    expect(await leftAt(store, 'k')).toEqual(NOTHING)
  })

  test('a failed abort is a warning with a reason, and the put’s own error stands', async () => {
    await using opened = await openFresh(server, { maxAttempts: 1 })
    const { store, proxy, warnings } = opened
    proxy.inject('UploadPart', { kind: 'status', status: 403, code: 'AccessDenied' })
    proxy.inject('AbortMultipartUpload', { kind: 'reset' })
    const put = store.put({ key: 'k', body: inParts(pattern(THREE)), length: THREE, metadata: metadataOf() })
    await expect(put).rejects.toMatchObject({ code: 'S3_ACCESS_DENIED' })
    const expected = store.capabilities.abortUploads ? ['S3_UNAVAILABLE'] : []
    expect(warnings.map(({ code }) => code)).toEqual(expected)
  })

  test('an abort that is never answered ends after its own time-out', async () => {
    await using opened = await openFresh(server, { abortTimeoutMs: 300 })
    const { store, proxy, warnings } = opened
    proxy.inject('UploadPart', { kind: 'status', status: 403, code: 'AccessDenied' })
    proxy.inject('AbortMultipartUpload', { kind: 'silence' })
    const put = store.put({ key: 'k', body: inParts(pattern(THREE)), length: THREE, metadata: metadataOf() })
    await expect(put).rejects.toMatchObject({ code: 'S3_ACCESS_DENIED' })
    expect(warnings.map(({ code }) => code)).toEqual(store.capabilities.abortUploads ? ['S3_TIMEOUT'] : [])
  })
})

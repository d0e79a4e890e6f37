import { expect, test } from 'vitest'
import { S3Connection } from '../src/s3-connection.js'
import { put as putObject } from '../src/put.js'
import type { Fault, S3Operation } from '@sealfleet/testkit'
import {
  addressOf,
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

const THREE = 3 * PART

onServers(SERVERS.slice(0, 2), 'trouble on the way to', (server) => {
  test.each<[string, S3Operation, Fault]>([
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

  test.each<[string, S3Operation, number, Fault, string]>([
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
      await using opened = await openFresh(server)
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

  test.each<[string, S3Operation, number]>([
    ['part', 'UploadPart', THREE],
    ['start', 'CreateMultipartUpload', THREE],
    ['small object', 'PutObject', 99],
  ])('a %s that is never answered is S3_TIMEOUT after its tries', async (_name, operation, length) => {
    await using opened = await openFresh(server)
    const { store, proxy, bucket, warnings } = opened
    // Impatient only here: a busy machine may take its time over everything else.
    const impatient = { requestTimeoutMs: 1000, minBytesPerSecond: 1024 ** 3, maxAttempts: 2 }
    using link = new S3Connection({ ...addressOf(bucket), endpoint: proxy.endpoint, ...impatient })
    const limits = { partSize: PART, queueSize: 4, maxBytesInFlight: 4 * PART, maxObjectLength: THREE }
    const { capabilities } = store
    proxy.inject(operation, { kind: 'silence' }, { when: ({ partNumber }) => (partNumber ?? 1) === 1 })
    const put = putObject(
      { link, bucket: store.bucket, limits, capabilities, onWarning: (warning) => warnings.push(warning) },
      { key: 'k', body: inParts(pattern(length)), length, metadata: metadataOf() },
    )
    await expect(put).rejects.toMatchObject({ code: 'S3_TIMEOUT' })
    const tries = proxy.seen.filter((one) => one.operation === operation && (one.partNumber ?? 1) === 1)
    expect(tries.length).toBeGreaterThanOrEqual(2)
    proxy.heal()
    expect(await leftAt(store, 'k')).toEqual(NOTHING)
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
    expect(aborted).toBe(store.capabilities.abortUploads)
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

import { expect, test } from 'vitest'
import {
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

onServers(SERVERS, 'the last answer of a put on', (server) => {
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
})

import { CreateMultipartUploadCommand } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'
import { S3Connection } from '../src/s3-connection.js'
import { openStore } from '../src/store.js'
import { listObjects, listUploads, listVersions } from '../src/lists.js'
import { addressOf, all, inParts, metadataOf, onServers, type Opened, openFresh, pattern, SERVERS } from './support.js'

async function putMany({ store }: Opened, keys: string[]): Promise<void> {
  for (const [i, key] of keys.entries()) {
    await store.put({ key, body: inParts(pattern(i + 1)), length: i + 1, metadata: metadataOf() })
  }
}

const KEYS = ['a/1', 'a/2', 'a/3', 'a/4', 'a/5', 'b/1']

onServers(SERVERS, 'maintenance on', (server) => {
  test('lists all objects below a prefix over several pages', async () => {
    await using opened = await openFresh(server)
    await putMany(opened, KEYS)
    using link = new S3Connection(addressOf(opened.bucket))
    const request = { bucket: opened.store.bucket, prefix: 'a/' }
    const listed = await all(listObjects(link, { ...request, pageSize: 2 }))
    expect(listed.map(({ key, length }) => [key, length])).toEqual(KEYS.slice(0, 5).map((key, i) => [key, i + 1]))
    expect(await all(opened.store.list('a/'))).toEqual(listed)
    const { etag } = await opened.store.head('a/1')
    expect(listed[0]?.etag).toBe(etag)
  })

  test('opened read-only it lists versions where there are any, else the objects', async () => {
    await using opened = await openFresh(server)
    await putMany(opened, ['r/1', 'r/2'])
    using reader = await openStore({ ...addressOf(opened.bucket), access: 'read-only' })
    expect(await all(reader.listVersions('r/'))).toEqual(await all(opened.store.listVersions('r/')))
  })

  test('lists and deletes versions, down to the last', async () => {
    await using opened = await openFresh(server)
    const { store, bucket } = opened
    await putMany(opened, ['k', 'k', 'other'].slice(store.capabilities.ifNoneMatch.put ? 1 : 0))
    await store.delete('k')
    const versions = await all(store.listVersions('k'))
    const { versioning } = store.capabilities
    expect(versions.map(({ deleteMarker }) => deleteMarker).sort()).toEqual(versioning ? [false, false, true] : [])
    if (versioning) {
      using link = new S3Connection(addressOf(bucket))
      const paged = await all(listVersions(link, { bucket: store.bucket, prefix: 'k', pageSize: 1 }))
      expect(new Set(paged.map(({ version }) => version))).toEqual(new Set(versions.map(({ version }) => version)))
      await expect(store.head('k')).rejects.toMatchObject({ code: 'S3_NO_SUCH_OBJECT' })
    }
    for (const { key, version } of versions) await store.deleteVersion(key, version)
    expect(await all(store.listVersions('k'))).toEqual([])
    expect((await all(store.listVersions(''))).map(({ key }) => key)).toEqual(['other'])
  })

  test('deleting what isn’t there is no error', async () => {
    await using opened = await openFresh(server)
    await expect(opened.store.delete('nothing')).resolves.toBeUndefined()
    await expect(opened.store.deleteVersion('nothing', undefined)).resolves.toBeUndefined()
  })

  test('lists and aborts unfinished uploads where the store can, and says so where not', async () => {
    await using opened = await openFresh(server)
    const { store, bucket } = opened
    using link = new S3Connection(addressOf(bucket))
    const start = async (key: string) => {
      const command = new CreateMultipartUploadCommand({ Bucket: store.bucket, Key: key })
      return (await link.client.send(command)).UploadId
    }
    const ids = [await start('u/1'), await start('u/1'), await start('u/2'), await start('v/1')]
    if (!store.capabilities.listUploads) {
      await expect(all(store.listUploads('u/'))).rejects.toMatchObject({ code: 'S3_UNSUPPORTED' })
      await expect(store.abortUpload('u/1', ids[0] ?? '')).rejects.toMatchObject({ code: 'S3_UNSUPPORTED' })
      return
    }
    const listed = await all(listUploads(link, { bucket: store.bucket, prefix: 'u/', pageSize: 1 }))
    expect(listed.map(({ uploadId }) => uploadId).sort()).toEqual(ids.slice(0, 3).sort())
    expect(listed.every(({ initiated }) => initiated instanceof Date)).toBe(true)
    for (const { key, uploadId } of listed) await store.abortUpload(key, uploadId)
    await expect(store.abortUpload('u/1', ids[0] ?? '')).resolves.toBeUndefined()
    expect((await all(store.listUploads(''))).map(({ key }) => key)).toEqual(['v/1'])
  })
})

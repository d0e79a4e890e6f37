import { S3Client, CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { listAudit } from '@sealfleet/records/audit'
import { requireVariable } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { scan } from '../src/scan.js'
import { sweep } from '../src/sweep.js'
import { openHouse, type House } from './support.js'

const NOW = { graceSeconds: 0, actor: 'test' }

describe.each([
  ['s3rver', 's3rver', {}],
  ['radosgw', 'radosgw', {}],
  ['radosgw with versions', 'radosgw', { versioning: true }],
] as const)('on %s', (_, kind, options) => {
  let house: House
  beforeAll(async () => {
    house = await openHouse(kind, options)
  })
  afterAll(() => house?.[Symbol.asyncDispose]())

  /** A file that a second attempt stored, after a first whose worker died with its object whole. */
  async function storedAtTheSecondTry() {
    const first = await house.begin()
    await house.upload(first)
    await house.expireLease(first)
    const second = await house.begin({ fileId: first.fileId })
    await house.commit(second, await house.upload(second))
    return { first, second }
  }
  const keys = async () => (await house.inStore()).map((name) => name.replace(/@.*/, ''))

  test('what a dead attempt left goes once its file is stored elsewhere, and the kept object stays', async () => {
    const { first, second } = await storedAtTheSecondTry()
    const looked = await sweep(house, { ...NOW, dryRun: true })
    expect(looked).toMatchObject({ dryRun: true, abandoned: 0, objectsDeleted: 1 })
    expect(await keys()).toEqual([first.key, second.key].sort())

    const report = await sweep(house, NOW)
    expect(report).toMatchObject({ abandoned: 0, swept: 1, objectsDeleted: 1, bytesDeleted: 451, found: 0 })
    expect(await keys()).toEqual([second.key])
    const rows = await listAudit(house.records, { subjectKind: 'file', subjectId: first.fileId })
    const audit = rows.filter(({ action }) => action !== 'file.commit')
    expect(audit.map(({ action, actor, detail }) => ({ action, actor, detail }))).toMatchObject([
      { action: 'sweep.delete', actor: 'test', detail: { key: first.key, bytes: 451 } },
    ])
    expect(await sweep(house, NOW)).toMatchObject({ abandoned: 0, swept: 0, objectsDeleted: 0 })
  })

  test('the only copy of a file that is not stored is left alone, also by a scan, until a person discards the file', async () => {
    const dead = await house.begin()
    await house.upload(dead)
    await house.fail(dead, 'dead')
    const queued = await house.begin()
    await house.upload(queued)
    await house.fail(queued, 'retry')
    expect(await sweep(house, NOW)).toMatchObject({ objectsDeleted: 0 })
    expect(await scan(house, NOW)).toMatchObject({ objectsDeleted: 0, onlyCopies: 2 })
    expect(await keys()).toEqual(expect.arrayContaining([dead.key, queued.key]))

    await house.sql.query(
      `UPDATE dead_letters SET state = 'DISCARDED', resolved_at = now(), resolved_by = 'test', resolution = 'gone' WHERE file_id = $1`,
      [dead.fileId],
    )
    await house.sql.query(`UPDATE files SET state = 'DISCARDED' WHERE id = $1`, [dead.fileId])
    expect(await sweep(house, NOW)).toMatchObject({ swept: 1, objectsDeleted: 1 })
    expect(await keys()).not.toContain(dead.key)
    const again = await house.begin({ fileId: queued.fileId })
    await house.commit(again, await house.upload(again))
    await sweep(house, NOW)
    expect(await keys()).not.toContain(queued.key)
  })

  test('nothing is deleted of a file whose kept object is gone, and that is told', async () => {
    const { first, second } = await storedAtTheSecondTry()
    const [kept = ''] = (await house.inStore()).filter((name) => name.startsWith(second.key))
    await house.store.deleteVersion(second.key, kept.split('@')[1])
    const finding = { kind: 'missing', fileId: first.fileId, attemptId: second.attemptId, objectKey: second.key }
    expect(await sweep(house, NOW)).toMatchObject({ objectsDeleted: 0, found: 1, findings: [finding] })
    expect(await keys()).toContain(first.key)
    expect(await scan(house, NOW)).toMatchObject({ objectsDeleted: 0, found: 1, findings: [finding] })
    // Out of the way of the tests below.
    await house.sql.query(`UPDATE files SET state = 'DELETED' WHERE id = $1`, [first.fileId])
    await sweep(house, NOW)
    expect(await keys()).not.toContain(first.key)
  })

  test('an attempt under way, or over for less than the grace, is left alone', async () => {
    const live = await house.begin()
    const put = await house.upload(live)
    const { first } = await storedAtTheSecondTry()
    // Its worker died and no one has claimed the file since: the sweep closes the attempt, and keeps the only copy.
    const silent = await house.begin()
    await house.upload(silent)
    await house.expireLease(silent)
    const hour = { graceSeconds: 3_600, actor: 'test' }
    expect(await sweep(house, hour)).toMatchObject({ abandoned: 0, objectsDeleted: 0 })
    expect(await sweep(house, NOW)).toMatchObject({ abandoned: 1, objectsDeleted: 1 })
    expect(await keys()).toEqual(expect.arrayContaining([live.key, silent.key]))
    expect(await keys()).not.toContain(first.key)
    expect(await scan(house, NOW)).toMatchObject({ objectsDeleted: 0, underWay: 1 })
    await house.commit(live, put)
  })

  test('a scan finds what came after the sweep, and never deletes what the records have not heard of', async () => {
    const { first, second } = await storedAtTheSecondTry()
    await sweep(house, NOW)
    await house.upload(first) // a worker that stood still for longer than the grace
    const stranger = { fileId: first.fileId, attemptId: crypto.randomUUID() }
    const key = `default/${stranger.fileId}/${stranger.attemptId}`
    await house.upload({ ...first, ...stranger, key })
    expect(await sweep(house, NOW)).toMatchObject({ objectsDeleted: 0 })
    expect(await scan(house, { ...NOW, dryRun: true })).toMatchObject({ objectsDeleted: 1, unknown: 1, dryRun: true })
    expect(await keys()).toContain(first.key)
    const report = await scan(house, NOW)
    expect(report).toMatchObject({ objectsDeleted: 1, unknown: 1, found: 0 })
    expect(report.kept).toBeGreaterThan(0)
    expect(await keys()).toEqual(expect.arrayContaining([second.key, key]))
    expect(await keys()).not.toContain(first.key)
    for (const name of (await house.inStore()).filter((one) => one.startsWith(key)))
      await house.store.deleteVersion(key, name.split('@')[1])
  })

  test.runIf(kind === 'radosgw')(
    'unfinished uploads of attempts that are over are aborted; a living one’s is not',
    async () => {
      const { first } = await storedAtTheSecondTry()
      const live = await house.begin()
      const foreign = 'default/somebody/else'
      for (const key of [first.key, live.key, foreign]) await startUpload(house.store.bucket, key)
      expect(await house.uploads()).toHaveLength(3)
      const report = await sweep(house, NOW)
      expect(report.blind).toEqual([])
      expect(report).toMatchObject({ uploadsAborted: 1, unknown: 1, underWay: 1 })
      expect(await house.uploads()).toEqual([live.key, foreign].sort())
    },
  )

  test.runIf(kind === 's3rver')('a store that cannot list uploads is told of', async () => {
    expect((await sweep(house, NOW)).blind).toHaveLength(1)
  })

  test.runIf('versioning' in options)(
    'a doubled version of a kept object goes, a delete marker over it is told',
    async () => {
      const one = await house.begin()
      const put = await house.upload(one)
      await house.commit(one, put)
      const { client } = gateway()
      const { PutObjectCommand } = await import('@aws-sdk/client-s3')
      await client.send(new PutObjectCommand({ Bucket: house.store.bucket, Key: one.key, Body: Buffer.alloc(451) }))
      expect(await scan(house, NOW)).toMatchObject({ objectsDeleted: 1, found: 0 })
      expect(await house.inStore()).toContain(`${one.key}@${put.version}`)
      expect((await keys()).filter((key) => key === one.key)).toHaveLength(1)
      await house.store.delete(one.key)
      expect(await scan(house, NOW)).toMatchObject({
        objectsDeleted: 0,
        found: 1,
        findings: [{ kind: 'hidden', attemptId: one.attemptId }],
      })
      for (const name of await house.inStore())
        if (name.startsWith(`-${one.key}`)) await house.store.deleteVersion(one.key, name.split('@')[1])
      client.destroy()
    },
  )

  test('a scan in pages of two finds the same, and each missing object once', async () => {
    const pairs = await Promise.all(Array.from({ length: 5 }, storedAtTheSecondTry))
    const lost = pairs.slice(1, 4).map(({ second }) => second)
    for (const name of await house.inStore())
      if (lost.some(({ key }) => name.startsWith(key)))
        await house.store.deleteVersion(name.replace(/@.*/, ''), name.split('@')[1])
    const report = await scan(house, { ...NOW, pageSize: 2 })
    expect(report).toMatchObject({ objectsDeleted: 2, found: 3 })
    expect(report.findings.map(({ attemptId }) => attemptId).sort()).toEqual(
      lost.map(({ attemptId }) => attemptId).sort(),
    )
    expect(await scan(house, NOW)).toMatchObject({ objectsDeleted: 0, found: 3, kept: report.kept })
    for (const { fileId } of lost) await house.sql.query(`UPDATE files SET state = 'DELETED' WHERE id = $1`, [fileId])
  })

  test('what a process left that died while it tried the store out goes when it is old enough', async () => {
    const uploads = kind === 'radosgw'
    if (uploads) await startUpload(house.store.bucket, '.sealfleet-probe/dead')
    const key = '.sealfleet-probe/left'
    await house.upload({ ...(await house.begin()), key })
    expect(await sweep(house, NOW)).toMatchObject({ probesDeleted: 0 })
    const old = { ...NOW, probeGraceSeconds: -60 }
    expect(await sweep(house, { ...old, graceSeconds: 3_600 })).toMatchObject({ probesDeleted: 0 })
    expect(await sweep(house, { ...old, graceSeconds: -60, dryRun: true })).toMatchObject({
      probesDeleted: uploads ? 2 : 1,
    })
    expect(await sweep(house, { ...old, graceSeconds: -60 })).toMatchObject({ probesDeleted: uploads ? 2 : 1 })
    const left: string[] = []
    for await (const entry of house.store.list('.sealfleet-probe/')) left.push(entry.key)
    expect(left).toEqual([])
  })

  test('two sweeps at once end as one', async () => {
    const pairs = await Promise.all(Array.from({ length: 12 }, storedAtTheSecondTry))
    await Promise.all([sweep(house, NOW), sweep(house, NOW), scan(house, NOW)])
    const left = await keys()
    for (const { first, second } of pairs) {
      expect(left).not.toContain(first.key)
      expect(left).toContain(second.key)
    }
  })
})

function gateway() {
  const client = new S3Client({
    endpoint: requireVariable('SEALFLEET_TEST_RGW_ENDPOINT'),
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: {
      accessKeyId: requireVariable('SEALFLEET_TEST_RGW_ACCESS_KEY_ID'),
      secretAccessKey: requireVariable('SEALFLEET_TEST_RGW_SECRET_ACCESS_KEY'),
    },
  })
  return { client }
}

async function startUpload(Bucket: string, Key: string): Promise<void> {
  const { client } = gateway()
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
  await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: Buffer.alloc(1000) }))
  client.destroy()
}

import { randomBytes, randomUUID } from 'node:crypto'

import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { fileBalance, getFile, traceFile } from '@sealfleet/records/files'
import { failedRekeyItems } from '@sealfleet/records/rekey'
import type pg from 'pg'
import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { makeKeys } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'
import { directly, itemsOf, runDone, startDispatcher, startRun } from './rekeying.js'

const MiB = 2 ** 20
const SIZES = [0, 1, 20_000, MiB - 1, MiB, MiB + 1, 3 * MiB + 7, 12 * MiB]
const DETACHED = '4f0b6a52-3a55-4d0e-9d0e-1c2b3a4d5e6f'
const detachedDomain = { id: DETACHED, nonceMode: 'detached', lossAcknowledged: true, segLog2: 16 } as const

let fleet: Fleet
let db: pg.Pool

/** Files of a domain, stored; their contents by id. */
async function store(
  count: number,
  o: { domain?: string; size?: (i: number) => number } = {},
): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>()
  const wave = randomUUID().slice(0, 8)
  for (let i = 0; i < count; i++) {
    const content = randomBytes(o.size?.(i) ?? 20_000)
    const path = `${wave}/${i}`
    await fleet.writeSource(path, content)
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path, domain: o.domain ?? 'default' })
    contents.set(fileId, content)
  }
  const states = await fleet.settled([...contents.keys()])
  expect([...states.values()].filter(({ state }) => state !== 'STORED')).toEqual([])
  return contents
}

const committed = async (id: string) => {
  const attempt = (await getFile(fleet.records, id))?.committed
  if (!attempt) throw new Error('not stored')
  return attempt
}

async function expectWhole(contents: ReadonlyMap<string, Buffer>, version: number): Promise<void> {
  for (const [id, content] of contents) {
    const { encKeyVersion, sigKeyVersion } = await committed(id)
    expect([encKeyVersion, sigKeyVersion]).toEqual([version, version])
    expect((await fleet.restore(id)).equals(content), id).toBe(true)
  }
}

const books = async () => {
  const { difference, strayCommits, deadWithoutLetter } = await fileBalance(fleet.records)
  return [difference, strayCommits, deadWithoutLetter]
}

describe('re-encryption on a store with versions', () => {
  beforeAll(async () => {
    fleet = await startFleet({
      s3: 'radosgw',
      versioning: true,
      domains: [detachedDomain],
    })
    db = directly(fleet)
  })
  afterAll(async () => {
    await db?.end()
    await fleet?.[Symbol.asyncDispose]()
  })

  longTest(
    '60 files of two domains move to the active keys with two workers, while they are restored over and over',
    { timeout: 180_000 },
    async () => {
      await using _one = await fleet.startWorker({ env: { SEALFLEET_REKEY_CONCURRENCY: '2' } })
      await using _two = await fleet.startWorker({ env: { SEALFLEET_REKEY_CONCURRENCY: '2' } })
      const size = (i: number) => SIZES[i % SIZES.length] ?? 0
      const inline = await store(32, { size })
      const detached = await store(28, { size, domain: DETACHED })
      const before = new Map<string, string>()
      for (const id of [...inline.keys(), ...detached.keys()]) before.set(id, (await committed(id)).id)
      await makeKeys(fleet.records, fleet.token, { id: 'default' }, 2)
      await makeKeys(fleet.records, fleet.token, detachedDomain, 2)

      await using _dispatcher = await startDispatcher(fleet)
      const runs = [await startRun(fleet), await startRun(fleet, { domain: DETACHED })]
      const all = new Map([...inline, ...detached])
      let over = false
      let reads = 0
      const imbalances: number[][] = []
      const reading = async (): Promise<void> => {
        while (!over) {
          for (const [id, content] of all) {
            if (over) return
            // The old object stays until its grace is over, so a reader that found the old record goes on with it.
            expect((await fleet.restore(id)).equals(content)).toBe(true)
            reads += 1
          }
        }
      }
      const counting = async (): Promise<void> => {
        while (!over) imbalances.push(await books())
      }
      const loops = [reading(), counting()]
      // Files that come meanwhile are stored as ever.
      const meanwhile = await store(5)
      for (const run of runs) await runDone(fleet, run, 120_000)
      over = true
      await Promise.all(loops)

      expect(await itemsOf(fleet, runs[0] ?? { id: '' })).toMatchObject({ DONE: 32, FAILED: 0, SKIPPED: 0 })
      expect(await itemsOf(fleet, runs[1] ?? { id: '' })).toMatchObject({ DONE: 28, FAILED: 0, SKIPPED: 0 })
      await expectWhole(all, 2)
      await expectWhole(meanwhile, 2)
      expect(reads).toBeGreaterThan(20)
      expect(imbalances.length).toBeGreaterThan(5)
      expect(imbalances.every((one) => one.every((n) => n === 0))).toBe(true)
      for (const [id, old] of before) {
        const attempts = (await traceFile(fleet.records, id))?.attempts ?? []
        expect(attempts.map(({ state }) => state)).toEqual(['SUPERSEDED', 'COMMITTED'])
        expect(attempts[0]?.id).toBe(old)
      }
      // Fresh nonces for each attempt; detached ones are wrapped, and in no column in the clear.
      const { rows } = await db.query<{ n: string; ids: string; bare: string }>(
        `SELECT count(*) AS n, count(DISTINCT nonce_id_enc) + count(DISTINCT nonce_id_sig) AS ids,
         count(*) FILTER (WHERE domain_id = $1 AND (nonce_enc IS NOT NULL OR wrapped_nonces IS NULL)) AS bare FROM attempts`,
        [DETACHED],
      )
      expect(Number(rows[0]?.ids)).toBe(2 * Number(rows[0]?.n))
      expect(rows[0]?.bare).toBe('0')
    },
  )

  longTest('also moves a domain to its present suite, nonce mode and segment size', async () => {
    await using _worker = await fleet.startWorker()
    const domain = randomUUID()
    await makeKeys(fleet.records, fleet.token, { id: domain })
    const contents = await store(3, { domain, size: (i) => [0, 70_000, MiB + 5][i] ?? 0 })
    await db.query(
      `UPDATE key_domains SET suite = 2, nonce_mode = 'DETACHED', seg_log2 = 17, loss_acknowledged_at = now() WHERE id = $1`,
      [domain],
    )
    await makeKeys(
      fleet.records,
      fleet.token,
      { id: domain, suite: 2, nonceMode: 'detached', segLog2: 17, lossAcknowledged: true },
      2,
    )
    await using _dispatcher = await startDispatcher(fleet)
    await runDone(fleet, await startRun(fleet, { domain }))
    await expectWhole(contents, 2)
    for (const id of contents.keys())
      expect(await committed(id)).toMatchObject({ suite: 2, segLog2: 17, nonces: null, kekVersion: 2 })
  })

  test('a flipped bit in the old object fails the item after two tries and leaves the file as it was', async () => {
    await using _worker = await fleet.startWorker()
    const domain = randomUUID()
    await makeKeys(fleet.records, fleet.token, { id: domain })
    const contents = await store(2, { domain, size: () => 3 * MiB })
    const [bad = '', good = ''] = contents.keys()
    const old = await committed(bad)
    await damage(bad, old)
    await makeKeys(fleet.records, fleet.token, { id: domain }, 2)
    await using _dispatcher = await startDispatcher(fleet)
    const run = await startRun(fleet, { domain })
    await runDone(fleet, run)
    expect(await itemsOf(fleet, run)).toMatchObject({ DONE: 1, FAILED: 1 })
    expect(await failedRekeyItems(fleet.records, run.id, 5)).toMatchObject([
      { fileId: bad, code: 'E_SEGMENT_AUTH', tries: 2 },
    ])
    const trace = await traceFile(fleet.records, bad)
    expect(trace?.file).toMatchObject({ state: 'STORED', committedAttemptId: old.id })
    expect(trace?.attempts.map(({ state }) => state)).toEqual(['COMMITTED', 'FAILED', 'FAILED'])
    expect((await committed(good)).encKeyVersion).toBe(2)
    // Nothing of the failed tries can be taken for the file: no object of theirs was ever completed.
    const keys: string[] = []
    for await (const { key } of fleet.ports.store.list(`${domain}/${bad}/`)) keys.push(key)
    expect(keys).toEqual([old.objectKey])
  })
})

/** Puts a copy of the object with one flipped bit under its key, as the version that the record names. */
async function damage(fileId: string, old: { objectKey: string; objectLength: number; objectVersion: string | null }) {
  const { store } = fleet.ports
  const reader = store.reader({ key: old.objectKey, length: old.objectLength, version: old.objectVersion ?? '' })
  const chunks: Buffer[] = []
  for await (const chunk of reader.read(0, old.objectLength)) chunks.push(Buffer.from(chunk))
  const bytes = Buffer.concat(chunks)
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 500) ^ 1, bytes.length - 500)
  const { metadata } = await store.head(old.objectKey)
  const put = await s3().send(
    new PutObjectCommand({ Bucket: fleet.bucket.bucket, Key: old.objectKey, Body: bytes, Metadata: { ...metadata } }),
  )
  await s3().send(
    new DeleteObjectCommand({ Bucket: fleet.bucket.bucket, Key: old.objectKey, VersionId: old.objectVersion ?? '' }),
  )
  await db.query('ALTER TABLE attempts DISABLE TRIGGER attempts_guard')
  await db.query('UPDATE attempts SET object_version = $2 WHERE file_id = $1', [fileId, put.VersionId])
  await db.query('ALTER TABLE attempts ENABLE TRIGGER attempts_guard')
}

function s3(): S3Client {
  const { endpoint, region, accessKeyId, secretAccessKey } = fleet.bucket
  return new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
}

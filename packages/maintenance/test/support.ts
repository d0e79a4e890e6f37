import { createHash, randomBytes, randomUUID } from 'node:crypto'

import { requestFingerprint } from '@sealfleet/queue'
import { activateMasterKey, activeKeys, registerMasterKey, type ActiveKeys } from '@sealfleet/records/keys'
import { claimFile } from '@sealfleet/records/files'
import { commitAttempt, failAttempt, openAttempt } from '@sealfleet/records/attempts'
import { ensureDomain } from '@sealfleet/records/fleet'
import { openRecords, type Records } from '@sealfleet/records'
import { objectMetadata, openStore, type Store } from '@sealfleet/store'
import { freshBucket, freshDatabase, type S3ServerKind } from '@sealfleet/testkit'
import pg from 'pg'

/** A register and a bucket of their own. The objects are random bytes of the right lengths: nothing here opens them. */
export interface House extends AsyncDisposable {
  readonly records: Records
  readonly store: Store
  /** Straight to the database. */
  readonly sql: pg.Pool
  /** Everything in the bucket: `key` or `key@version`, without the probe's own. */
  inStore(): Promise<string[]>
  uploads(): Promise<string[]>
  /** A claim with an open attempt. The lease lasts a minute unless it is said to have run out. */
  begin(o?: { fileId?: string }): Promise<Begun>
  /** Its object, whole. */
  upload(begun: Begun): Promise<{ etag: string; version?: string }>
  commit(begun: Begun, put: { etag: string; version?: string }): Promise<void>
  fail(begun: Begun, disposition: 'retry' | 'dead' | 'release'): Promise<void>
  /** Sets times back, as if that many seconds had gone by since the attempt ended or was opened. */
  expireLease(begun: Begun): Promise<void>
}

export interface Begun {
  readonly fileId: string
  readonly attemptId: string
  readonly attemptNo: number
  readonly owner: string
  readonly key: string
}

const PLAINTEXT = 3
const OBJECT = 416 + PLAINTEXT + 32

export async function openHouse(
  kind: S3ServerKind,
  o: { versioning?: boolean; retentionDays?: number } = {},
): Promise<House> {
  const database = await freshDatabase()
  const bucket = await freshBucket(kind, o)
  const records = await openRecords(database.url)
  const store = await openStore({ ...bucket })
  const sql = new pg.Pool({ connectionString: database.url, max: 2 })
  sql.on('error', () => undefined)
  sql.on('connect', (client) => client.on('error', () => undefined))
  await ensureDomain(records, { id: 'default' })
  for (const role of ['enc', 'sig'] as const) {
    await registerMasterKey(records, {
      ref: { role, domain: 'default', suite: 1, version: 1 },
      checkValue: randomBytes(8),
    })
    await activateMasterKey(records, { ref: { role, domain: 'default', version: 1 } })
  }
  const keys = await activeKeys(records, 'default')
  return {
    records,
    store,
    sql,
    inStore: async () => {
      const names: string[] = []
      for await (const entry of store.listVersions('default/'))
        names.push(
          `${entry.deleteMarker ? '-' : ''}${entry.key}${entry.version === undefined ? '' : `@${entry.version}`}`,
        )
      return names.sort()
    },
    uploads: async () => {
      const names: string[] = []
      for await (const { key } of store.listUploads('default/')) names.push(key)
      return names.sort()
    },
    begin: (options) => begin(records, keys, store.bucket, options),
    upload: async ({ key, fileId, attemptId }) => {
      const body = randomBytes(OBJECT)
      const { etag, version } = await store.put({
        key,
        body: (async function* () {
          yield await Promise.resolve(body)
        })(),
        length: OBJECT,
        metadata: objectMetadata({ fileId, attemptId, context: Buffer.alloc(0) }),
      })
      return { etag, ...(version !== undefined && { version }) }
    },
    commit: async ({ fileId, attemptId, owner }, { etag, version }) => {
      const outcome = await commitAttempt(records, {
        ...{ fileId, attemptId, owner, etag, objectVersion: version },
        ...{ objectLength: OBJECT, plaintextLength: PLAINTEXT, htag: randomBytes(32), fmac: randomBytes(32) },
      })
      if (outcome !== 'committed') throw new Error(outcome)
    },
    fail: async ({ fileId, attemptId, attemptNo, owner }, disposition) => {
      const why = { code: 'SOURCE_IO', class: 'transient-source', message: 'made up by a test', disposition }
      await failAttempt(records, { fileId, attemptId, attemptNo, owner, ...why })
    },
    expireLease: async ({ fileId }) => {
      await sql.query(`UPDATE files SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE id = $1`, [fileId])
    },
    async [Symbol.asyncDispose]() {
      store.close()
      await records.close()
      await sql.end()
      await bucket[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

async function begin(records: Records, keys: ActiveKeys, bucket: string, o: { fileId?: string } = {}): Promise<Begun> {
  const fileId = o.fileId ?? randomUUID()
  const owner = `test/${randomUUID()}`
  const claimed = await claimFile(records, {
    fileId,
    domain: 'default',
    source: { root: 'in', path: fileId },
    context: Buffer.alloc(0),
    fingerprint: requestFingerprint({ domain: 'default', root: 'in', path: fileId, context: Buffer.alloc(0) }),
    owner,
    leaseSeconds: 60,
  })
  if (claimed.outcome !== 'claimed') throw new Error(claimed.outcome)
  const attemptId = randomUUID()
  const nonces = { nonceEnc: randomBytes(32), nonceSig: randomBytes(32) }
  const key = `default/${fileId}/${attemptId}`
  await openAttempt(records, {
    ...{ attemptId, fileId, owner, attemptNo: claimed.attemptNo, bucket, objectKey: key, suite: 1, segLog2: 20 },
    ...{ encKeyId: keys.enc.id, sigKeyId: keys.sig.id, ...nonces },
    ...{ nonceIdEnc: nonceIdOf(nonces.nonceEnc), nonceIdSig: nonceIdOf(nonces.nonceSig) },
  })
  return { fileId, attemptId, attemptNo: claimed.attemptNo, owner, key }
}

function nonceIdOf(nonce: Uint8Array): Buffer {
  return createHash('sha256').update('SFV1/nonce-id\0\0\0').update(nonce).digest()
}

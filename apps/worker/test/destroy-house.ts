import { keyLabel, type MasterKeyRef } from '@sealfleet/format'
import { createHash, createHmac, generateKeyPairSync, randomBytes, randomUUID, sign, type KeyObject } from 'node:crypto'

import { allTokens, HsmPool } from '@sealfleet/hsm'
import { classify } from '@sealfleet/failures'
import { requestFingerprint } from '@sealfleet/queue'
import {
  assertNotNeeded,
  DESTROY_KIND,
  lookAtKey,
  requestDetail,
  scheduleByRequest,
  type CarryOutOptions,
  type DestroyPorts,
  type KeyNeeds,
} from '@sealfleet/keys'
import {
  activateMasterKey,
  activeKeys,
  getMasterKey,
  registerMasterKey,
  type DestructionRow,
} from '@sealfleet/records/keys'
import {
  addOperator,
  addSignature,
  createRequest,
  rawPublicKey,
  signedBytes,
  type RequestRow,
} from '@sealfleet/records/operators'
import { claimFile } from '@sealfleet/records/files'
import { commitAttempt, openAttempt, type CommitOutcome } from '@sealfleet/records/attempts'
import { ensureDomain, getDomain } from '@sealfleet/records/fleet'
import { openRecords, type KeyRow } from '@sealfleet/records'
import { objectMetadata, openStore } from '@sealfleet/store'
import { freshBucket, freshDatabase, freshToken, type FreshToken, type S3ServerKind } from '@sealfleet/testkit'
import { tokenOptions } from '@sealfleet/testkit/fleet'
import pg from 'pg'

import { sealedObject } from '../../../packages/objects/test/sealed-header.js'
import { plantKey } from '../../../packages/hsm/test/plant-key.js'
import { AsyncDisposableStack } from '@sealfleet/runtime'

/** A house with two tokens that hold the same keys, two officers, and files that are sealed in form only. */
export interface DestroyHouse extends AsyncDisposable, DestroyPorts {
  readonly primary: FreshToken
  readonly secondary: FreshToken
  readonly pool: HsmPool
  readonly sql: pg.Pool
  readonly databaseUrl: string
  readonly settings: unknown
  readonly officers: readonly Officer[]
  key(role: MasterKeyRef['role'], version: number): Promise<KeyRow>
  /** A new version in both tokens, active from now on. */
  rotate(role: 'enc' | 'sig', version: number): Promise<void>
  /** Puts an object into the store under the keys that are active, with its rows as far as asked. */
  begin(): Promise<Begun>
  file(): Promise<Begun>
  sign(request: RequestRow, by: readonly Officer[]): Promise<void>
  /** Request, two signatures, schedule. */
  schedule(key: KeyRow, o?: { waitSeconds?: number; shred?: number | null }): Promise<DestructionRow>
  /** The names of keys that a token shows. */
  readonly options: CarryOutOptions
}

export interface Officer {
  readonly name: string
  readonly privateKey: KeyObject
}

export interface Begun {
  readonly fileId: string
  readonly attemptId: string
  readonly objectKey: string
  commit(): Promise<CommitOutcome>
}

export const ACTOR = 'test'
const TERMS = { reason: 'its time has come', backups: 'none' }

export async function openDestroyHouse(o: { store?: S3ServerKind; audit?: boolean } = {}): Promise<DestroyHouse> {
  const closers = new AsyncDisposableStack()
  const own = <T extends AsyncDisposable>(thing: T): T => {
    closers.defer(() => thing[Symbol.asyncDispose]())
    return thing
  }
  try {
    const database = own(await freshDatabase())
    const bucket = own(await freshBucket(o.store ?? 's3rver'))
    const primary = own(await freshToken())
    const secondary = own(await freshToken())
    const records = own(await openRecords(database.url))
    const store = await openStore({ ...bucket })
    closers.defer(() => store.close())
    const sql = new pg.Pool({ connectionString: database.url, max: 3 })
    sql.on('error', () => undefined)
    sql.on('connect', (client) => client.on('error', () => undefined))
    closers.defer(() => sql.end())
    await ensureDomain(records, { id: 'default' })
    const make = async (role: MasterKeyRef['role'], version: number): Promise<void> => {
      const ref = { role, domain: 'default', suite: 1, version } as const
      const value = randomBytes(32)
      for (const token of [primary, secondary]) await plantKey(token, keyLabel(ref), value)
      const checkValue = createHmac('sha256', value).update('SFV1-KCV-v1').digest().subarray(0, 8)
      await registerMasterKey(records, { ref, checkValue })
      await activateMasterKey(records, { ref })
    }
    for (const role of ['enc', 'sig'] as const) await make(role, 1)
    if (o.audit !== false) await make('audit', 1)
    const officers: Officer[] = []
    for (const name of ['ann', 'bob']) {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519')
      const person = { name, role: 'officer', publicKey: rawPublicKey(publicKey), enrolledBy: ACTOR } as const
      await records.transaction((tx) => addOperator(tx, person))
      officers.push({ name, privateKey })
    }
    const tokens = [tokenOptions(primary), tokenOptions(secondary)] as const
    const pool = own(await HsmPool.open({ tokens, agents: 1, sessions: 2 }))
    const house = allTokens(tokens, pool)
    const ports = { records, store, tokens: house }
    const begin = () => beginAt(ports)
    const signAll = async (request: RequestRow, by: readonly Officer[]): Promise<void> => {
      for (const { name, privateKey } of by) {
        const signature = sign(null, signedBytes(request.body), privateKey)
        await addSignature(records, { requestId: request.id, operator: name, signature })
      }
    }
    return {
      ...ports,
      ...{ primary, secondary, pool, sql, officers, begin, databaseUrl: database.url },
      settings: { database: database.url, bucket: { ...bucket }, tokens },
      options: { actor: ACTOR, codeOf: (error) => classify(error).code },
      key: async (role, version) => {
        const row = await getMasterKey(records, { role, domain: 'default', version })
        if (row === undefined) throw new Error(`no ${role} ${version}`)
        return row
      },
      rotate: make,
      file: async () => {
        const begun = await begin()
        if ((await begun.commit()) !== 'committed') throw new Error('not committed')
        return begun
      },
      sign: signAll,
      schedule: async (key, { waitSeconds = 0, shred = null } = {}) => {
        const needs = await lookAtKey(ports, key)
        const terms = { ...TERMS, waitSeconds, shred }
        const request = await requestDestruction(ports, key, { terms, needs, actor: ACTOR })
        await signAll(request, officers)
        return scheduleByRequest(ports, key, { requestId: request.id, minWaitSeconds: 0, actor: ACTOR })
      },
      [Symbol.asyncDispose]: () => closers[Symbol.asyncDispose](),
    }
  } catch (error) {
    await closers[Symbol.asyncDispose]()
    throw error
  }
}

/** The request that two officers sign, as `sealfleet keys destroy` makes it. @throws DestructionRefused */
export async function requestDestruction(
  { records }: Pick<DestroyPorts, 'records'>,
  key: KeyRow,
  o: {
    readonly terms: Parameters<typeof requestDetail>[2]
    readonly needs: KeyNeeds
    readonly actor: string
    readonly expiresSeconds?: number
  },
): Promise<RequestRow> {
  const { terms, needs, actor, expiresSeconds } = o
  assertNotNeeded(key, needs, terms.shred)
  const domain = await getDomain(records, key.domain)
  if (domain === undefined) throw new Error(`no domain ${key.domain}`)
  const subject = { kind: 'key', id: key.id }
  const detail = requestDetail(key, domain, terms)
  const expires = expiresSeconds === undefined ? {} : { expiresSeconds }
  return records.transaction((tx) =>
    createRequest(tx, { kind: DESTROY_KIND, subject, detail, required: 2, createdBy: actor, ...expires }),
  )
}

async function beginAt({ records, store }: Pick<DestroyPorts, 'records' | 'store'>): Promise<Begun> {
  const keys = await activeKeys(records, 'default')
  const [fileId, attemptId] = [randomUUID(), randomUUID()]
  const owner = `test/${randomUUID()}`
  const context = Buffer.alloc(0)
  const claimed = await claimFile(records, {
    ...{ fileId, domain: 'default', source: { root: 'in', path: fileId }, context, owner, leaseSeconds: 60 },
    fingerprint: requestFingerprint({ domain: 'default', root: 'in', path: fileId, context }),
  })
  if (claimed.outcome !== 'claimed') throw new Error(claimed.outcome)
  const objectKey = `default/${fileId}/${attemptId}`
  const nonces = { nonceEnc: randomBytes(32), nonceSig: randomBytes(32) }
  await openAttempt(records, {
    ...{
      attemptId,
      fileId,
      owner,
      attemptNo: claimed.attemptNo,
      bucket: store.bucket,
      objectKey,
      suite: 1,
      segLog2: 20,
    },
    ...{ encKeyId: keys.enc.id, sigKeyId: keys.sig.id, ...nonces },
    ...{ nonceIdEnc: nonceIdOf(nonces.nonceEnc), nonceIdSig: nonceIdOf(nonces.nonceSig) },
  })
  const body = sealedObject({ fileId, attemptId, enc: keys.enc.version, sig: keys.sig.version })
  const { etag } = await store.put({
    key: objectKey,
    body: (async function* () {
      yield await Promise.resolve(body)
    })(),
    length: body.length,
    metadata: objectMetadata({ fileId, attemptId, context }),
  })
  const commit = (): Promise<CommitOutcome> =>
    commitAttempt(records, {
      ...{ fileId, attemptId, owner, etag, objectLength: body.length, plaintextLength: 3 },
      ...{ htag: randomBytes(32), fmac: randomBytes(32) },
    })
  return { fileId, attemptId, objectKey, commit }
}

function nonceIdOf(nonce: Uint8Array): Buffer {
  return createHash('sha256').update('SFV1/nonce-id\0\0\0').update(nonce).digest()
}

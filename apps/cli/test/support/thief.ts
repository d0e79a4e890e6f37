import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { derivationMessages, unwrapNonces, type AttemptIdentity, type NoncePair } from '@sealfleet/format'
import { HsmPool } from '@sealfleet/hsm'
import { openStore } from '@sealfleet/store'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { Secret } from './fragments.js'

type Settings = Readonly<Record<string, string>>

/** All that can be carried off without the HSM: a full dump of Postgres, every key of the queue in Redis, the whole bucket. */
export async function loot(env: Settings): Promise<ReadonlyMap<string, Buffer>> {
  const found = new Map<string, Buffer>()
  const { stdout } = await promisify(execFile)('pg_dump', ['--dbname', need(env, 'DATABASE_URL')], {
    maxBuffer: 2 ** 30,
    encoding: 'buffer',
  })
  found.set('postgres', stdout)
  const redis = new Redis(need(env, 'REDIS_URL'))
  try {
    for (const key of await redis.keys(`${need(env, 'QUEUE_PREFIX')}:*`)) {
      // DUMP compresses long strings, so hashes are read as they are as well.
      const parts = [Buffer.from(key), (await redis.dumpBuffer(key)) ?? Buffer.of()]
      if ((await redis.type(key)) === 'hash') parts.push(...Object.values(await redis.hgetallBuffer(key)))
      found.set(`redis ${key}`, Buffer.concat(parts))
    }
  } finally {
    redis.disconnect()
  }
  using store = await openBucket(env)
  for await (const { key, version, length = 0, deleteMarker } of store.listVersions('')) {
    if (deleteMarker) continue
    const { etag, metadata } = await store.head(key, version === undefined ? {} : { version })
    const pin = version === undefined ? { etag } : { version }
    const chunks: Uint8Array[] = []
    for await (const chunk of store.reader({ key, length, ...pin }).read(0, length)) chunks.push(chunk)
    found.set(`object ${key} ${version ?? ''}`, Buffer.concat([...chunks, Buffer.from(JSON.stringify(metadata))]))
  }
  return found
}

export function openBucket(env: Settings) {
  return openStore({
    endpoint: need(env, 'S3_ENDPOINT'),
    region: need(env, 'S3_REGION'),
    bucket: need(env, 'S3_BUCKET'),
    accessKeyId: need(env, 'S3_ACCESS_KEY_ID'),
    secretAccessKey: need(env, 'S3_SECRET_ACCESS_KEY'),
    access: 'read-only',
  })
}

interface AttemptRow {
  readonly id: string
  readonly file_id: string
  readonly domain_id: string
  readonly suite: number
  readonly enc: number
  readonly sig: number
  readonly kek: number | null
  readonly nonce_enc: Buffer | null
  readonly nonce_sig: Buffer | null
  readonly wrapped_nonces: Buffer | null
}

/**
 * Everything that must be nowhere: of every attempt there ever was whose keys still exist, both HMACs that the HSM gives (hence IV,
 * AES key and K_sig) and, where they are detached, both nonces. Only the HSM's owner can make this list.
 */
export async function secretsOf(env: Settings): Promise<Secret[]> {
  const pin = env['SEALFLEET_PKCS11_PIN'] ?? (await readFile(need(env, 'PKCS11_PIN_FILE'), 'utf8'))
  const secrets: Secret[] = []
  await using hsm = await HsmPool.open({
    tokens: [
      {
        module: need(env, 'PKCS11_MODULE'),
        token: need(env, 'PKCS11_TOKEN'),
        pin: { kind: 'value', value: Buffer.from(pin) },
        env: { SOFTHSM2_CONF: env['SOFTHSM2_CONF'] ?? '' },
      },
    ],
    agents: 1,
    sessions: 4,
  })
  for (const row of await attempts(need(env, 'DATABASE_URL'))) {
    const attempt: AttemptIdentity = {
      suite: row.suite === 2 ? 2 : 1,
      fileId: row.file_id,
      attemptId: row.id,
      encKeyVersion: row.enc,
      sigKeyVersion: row.sig,
      keyDomain: row.domain_id === '00000000-0000-0000-0000-000000000000' ? 'default' : row.domain_id,
    }
    const nonces = await noncesOf(hsm, attempt, row)
    if (nonces === undefined) continue
    if (row.nonce_enc === null) {
      secrets.push({ name: `nonce_enc of ${row.id}`, bytes: nonces.nonceEnc })
      secrets.push({ name: `nonce_sig of ${row.id}`, bytes: nonces.nonceSig })
    }
    for (const role of ['enc', 'sig'] as const) {
      const version = role === 'enc' ? row.enc : row.sig
      for (const message of derivationMessages({ ...attempt, ...nonces }, role)) {
        const bytes = await hsm.hmac({ role, domain: attempt.keyDomain, suite: attempt.suite, version }, message)
        secrets.push({ name: `${role === 'enc' ? 'IV and AES key' : 'K_sig'} of ${row.id}`, bytes })
      }
    }
  }
  return secrets
}

async function noncesOf(hsm: HsmPool, attempt: AttemptIdentity, row: AttemptRow): Promise<NoncePair | undefined> {
  if (row.nonce_enc !== null && row.nonce_sig !== null) return { nonceEnc: row.nonce_enc, nonceSig: row.nonce_sig }
  if (row.wrapped_nonces === null || row.kek === null) return undefined
  return unwrapNonces(hsm, row.kek, attempt, row.wrapped_nonces)
}

async function attempts(url: string): Promise<readonly AttemptRow[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<AttemptRow>(`
      SELECT a.id, a.file_id, a.domain_id, a.suite, e.version AS enc, s.version AS sig, k.version AS kek,
        a.nonce_enc, a.nonce_sig, a.wrapped_nonces
      FROM attempts a JOIN master_keys e ON e.id = a.enc_key_id JOIN master_keys s ON s.id = a.sig_key_id
        LEFT JOIN master_keys k ON k.id = a.kek_key_id
      WHERE e.state <> 'DESTROYED' AND s.state <> 'DESTROYED'`)
    return rows
  } finally {
    await client.end()
  }
}

function need(env: Settings, name: string): string {
  const value = env[`SEALFLEET_${name}`]
  if (value === undefined) throw new Error(`SEALFLEET_${name} is missing`)
  return value
}

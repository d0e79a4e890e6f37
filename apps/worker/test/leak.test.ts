import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

import { nonceAad } from '@sealfleet/format'
import { HsmPool } from '@sealfleet/hsm'
import { openStore } from '@sealfleet/store'
import { redisUrl } from '@sealfleet/testkit'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { tokenOptions } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'

const DETACHED = '6b0f3a52-6a43-4d39-9f6f-2f6f5a1c9d03'
const PLAINTEXT = 'this sentence is plaintext and must be found nowhere'

/** All the places a thief of database, Redis and bucket could look, as bytes. */
async function loot(fleet: Fleet): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>()
  const { stdout } = await promisify(execFile)('pg_dump', ['--dbname', fleet.database.url], { maxBuffer: 2 ** 28 })
  found.set('pg_dump', Buffer.from(stdout))
  const redis = new Redis(redisUrl())
  for (const key of await redis.keys(`${fleet.env['SEALFLEET_QUEUE_PREFIX']}:*`)) {
    found.set(`redis ${key}`, Buffer.concat([Buffer.from(key), (await redis.dumpBuffer(key)) ?? Buffer.of()]))
    if ((await redis.type(key)) === 'hash') {
      found.set(`redis hash ${key}`, Buffer.concat(Object.values(await redis.hgetallBuffer(key))))
    }
  }
  redis.disconnect()
  const { endpoint, region, bucket, accessKeyId, secretAccessKey } = fleet.bucket
  using store = await openStore({ endpoint, region, bucket, accessKeyId, secretAccessKey, access: 'read-only' })
  for await (const { key, length, etag } of store.list('')) {
    const chunks: Uint8Array[] = []
    for await (const chunk of store.reader({ key, length, etag }).read(0, length)) chunks.push(chunk)
    const { metadata } = await store.head(key)
    found.set(`object ${key}`, Buffer.concat([...chunks, Buffer.from(JSON.stringify(metadata))]))
  }
  found.set('logs', Buffer.from(fleet.logs.join('')))
  return found
}

/** A secret in every dress it might wear. */
function dresses(secret: Buffer): Buffer[] {
  return [
    secret,
    ...(['hex', 'base64', 'base64url'] as const).map((encoding) =>
      Buffer.from(secret.toString(encoding).replace(/=+$/, '')),
    ),
    Buffer.from(secret.toString('hex').toUpperCase()),
    Buffer.from(JSON.stringify([...secret]).slice(1, -1)),
  ]
}

function placesOf(secret: Buffer, found: Map<string, Buffer>): string[] {
  return [...found]
    .filter(([, bytes]) => dresses(secret).some((dress) => bytes.includes(dress)))
    .map(([place]) => place)
}

describe('anyone who has dumps of Postgres, Redis, the bucket and the logs', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet({ domains: [{ id: DETACHED, nonceMode: 'detached', lossAcknowledged: true }] })
    await fleet.startWorker()
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  test('finds no key, IV, PIN or plaintext, and no nonce of a detached domain', async () => {
    const requests = ['default', DETACHED].flatMap((domain) =>
      [1, 2, 3].map((n) => ({ id: `${domain}-${n}`, domain, root: 'in', path: `${domain}-${n}` })),
    )
    for (const { path } of requests) await fleet.writeSource(path, `${PLAINTEXT} ${path}\n`.repeat(5_000))
    // One that fails, so that errors are in the dumps too.
    const results = await fleet.producer.client.enqueueMany([...requests, { root: 'in', path: 'nowhere' }])
    await fleet.settled(results.map(({ fileId }) => fileId ?? ''))
    const found = await loot(fleet)
    const objects = [...found.keys()].filter((place) => place.startsWith('object '))
    // The six files and the fleet's mark on its bucket.
    expect(objects.filter((place) => place !== 'object .sealfleet/fleet')).toHaveLength(6)

    const secrets = new Map<string, Buffer>([
      ['plaintext', Buffer.from(PLAINTEXT)],
      ['PIN', await readFile(fleet.token.pinFile)],
    ])
    await using hsm = await HsmPool.open({ tokens: [tokenOptions(fleet.token)], agents: 1, sessions: 2 })
    for (const attempt of await attempts(fleet)) {
      const nonces = attempt.nonce_enc
        ? Buffer.concat([attempt.nonce_enc, attempt.nonce_sig])
        : await hsm.unwrap({ domain: DETACHED, version: 1 }, attempt.wrapped_nonces, aadOf(attempt))
      const domain = attempt.nonce_enc ? 'default' : DETACHED
      const key = await hsm.hmac({ role: 'enc', domain, suite: 1, version: 1 }, nonces.subarray(0, 32))
      secrets.set(`IV of ${attempt.id}`, key.subarray(0, 16))
      secrets.set(`AES key of ${attempt.id}`, key.subarray(16))
      secrets.set(
        `MAC key of ${attempt.id}`,
        await hsm.hmac({ role: 'sig', domain, suite: 1, version: 1 }, nonces.subarray(32)),
      )
      if (!attempt.nonce_enc) {
        secrets.set(`nonce of ${attempt.id}`, Buffer.from(nonces.subarray(0, 32)))
        secrets.set(`other nonce of ${attempt.id}`, Buffer.from(nonces.subarray(32)))
      }
    }
    expect(secrets.size).toBe(2 + 6 * 3 + 3 * 2)
    const seen = [...secrets].flatMap(([name, secret]) => placesOf(secret, found).map((place) => `${name} in ${place}`))
    expect(seen).toEqual([])
  })

  test('and the search itself would find them', async () => {
    const found = await loot(fleet)
    const [inline] = (await attempts(fleet)).filter(({ nonce_enc }) => nonce_enc !== null)
    // An inline nonce is allowed to be there, in the dump (as hex) and in the object (as bytes): so the search works.
    const places = placesOf(inline?.nonce_enc ?? Buffer.of(), found)
    expect(places).toContain('pg_dump')
    expect(places.some((place) => place.startsWith('object '))).toBe(true)
  })
})

interface AttemptRow {
  readonly id: string
  readonly file_id: string
  readonly nonce_enc: Buffer
  readonly nonce_sig: Buffer
  readonly wrapped_nonces: Buffer
}

async function attempts(fleet: Fleet): Promise<AttemptRow[]> {
  const client = new pg.Client({ connectionString: fleet.database.url })
  await client.connect()
  try {
    const { rows } = await client.query<AttemptRow>(
      "SELECT id, file_id, nonce_enc, nonce_sig, wrapped_nonces FROM attempts WHERE state = 'COMMITTED'",
    )
    return rows
  } finally {
    await client.end()
  }
}

function aadOf({ id, file_id }: AttemptRow): Buffer {
  return nonceAad({
    suite: 1,
    fileId: file_id,
    attemptId: id,
    encKeyVersion: 1,
    sigKeyVersion: 1,
    keyDomain: DETACHED,
  })
}

import { execFile } from 'node:child_process'
import { access, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { HeadBucketCommand, ListObjectVersionsCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Redis } from 'ioredis'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { freePort } from '../../../tools/lib/ports.mjs'
import { freshBucket } from '../src/fresh-bucket.js'
import { freshDatabase } from '../src/fresh-database.js'
import { freshPrefix } from '../src/names.js'
import { freshToken } from '../src/fresh-token.js'
import { redisUrl, requireVariable } from '../src/environment.js'
import { startTcpGate } from '../src/tcp-gate.js'
import { tempDir } from '../src/temp-dir.js'

const execute = promisify(execFile)

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

it('names a missing variable together with the command that provides it', () => {
  expect(() => requireVariable('SEALFLEET_TEST_NO_SUCH')).toThrow(/SEALFLEET_TEST_NO_SUCH.*npm test/)
})

it('makes a directory that is gone afterwards, with what was put into it', async () => {
  const directory = await tempDir()
  await writeFile(join(directory.path, 'file'), 'x')
  expect((await stat(directory.path)).mode & 0o777).toBe(0o700)
  await directory[Symbol.asyncDispose]()
  await expect(access(directory.path)).rejects.toThrow('ENOENT')
})

describe('freshDatabase', () => {
  it('copies a template, and drops the copy although a client is still connected', async () => {
    await using template = await freshDatabase({ schema: 'empty' })
    await query(template.url, 'create table marks as select 7 as mark')
    const copy = await freshDatabase({ schema: { copyOf: template.name } })
    const client = new pg.Client({ connectionString: copy.url })
    const ended = new Promise((resolve) => client.on('error', resolve)) // twice: the server's word, then the socket's end
    await client.connect()
    expect((await client.query('select mark from marks')).rows).toEqual([{ mark: 7 }])
    await copy[Symbol.asyncDispose]()
    await ended
    const left = await query(template.url, `select 1 from pg_database where datname = '${copy.name}'`)
    expect(left).toEqual([])
  })
})

describe('freshToken', () => {
  it('holds one initialised token whose PIN works, and no other is seen', async () => {
    await using token = await freshToken()
    const env = { ...process.env, ...token.env }
    const list = await execute('pkcs11-tool', ['--module', token.module, '--list-slots'], { env })
    expect(list.stdout.match(/token label/g)).toHaveLength(1)
    expect(list.stdout).toContain(token.label)
    const login = ['--module', token.module, '--token-label', token.label, '--login', '--pin', token.pin, '-O']
    await execute('pkcs11-tool', login, { env })
    const wrong = execute('pkcs11-tool', login.with(6, `9${token.pin}`), { env })
    await expect(wrong).rejects.toThrow('CKR_PIN_INCORRECT')
    expect(await readFile(token.pinFile, 'utf8')).toBe(token.pin)
    expect((await stat(token.pinFile)).mode & 0o777).toBe(0o600)
  })
})

describe('freshBucket', () => {
  it.each(['s3rver', 'radosgw'] as const)('%s: takes objects, and is gone with them afterwards', async (kind) => {
    const { endpoint, region, bucket, accessKeyId, secretAccessKey, ...rest } = await freshBucket(kind)
    const credentials = { accessKeyId, secretAccessKey }
    const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials })
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'a/b', Body: 'x' }))
    await rest[Symbol.asyncDispose]()
    const head = client.send(new HeadBucketCommand({ Bucket: bucket }))
    await expect(head).rejects.toMatchObject({ $metadata: { httpStatusCode: 404 } })
    client.destroy()
  })

  it('keeps versions when asked to, and removes them all', async () => {
    const { endpoint, region, bucket, accessKeyId, secretAccessKey, ...rest } = await freshBucket('radosgw', {
      versioning: true,
    })
    const credentials = { accessKeyId, secretAccessKey }
    const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials })
    for (const Body of ['one', 'two']) await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'k', Body }))
    const { Versions } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket }))
    expect(Versions).toHaveLength(2)
    await rest[Symbol.asyncDispose]()
    client.destroy()
  })

  it('refuses versions on a server that has none', async () => {
    await expect(freshBucket('s3rver', { versioning: true })).rejects.toThrow('radosgw')
  })
})

it('leads to a Redis that never evicts, with a prefix of its own', async () => {
  const redis = new Redis(redisUrl())
  try {
    expect(await redis.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
    expect(await redis.config('GET', 'appendonly')).toEqual(['appendonly', 'yes'])
  } finally {
    redis.disconnect()
  }
  expect(freshPrefix()).toMatch(/^\{sealfleet-test-[0-9a-f]{12}\}$/)
  expect(freshPrefix()).not.toBe(freshPrefix())
})

it('a gate that is shut breaks and refuses connections, and opens again on the same port', async () => {
  await using gate = await startTcpGate(requireVariable('SEALFLEET_TEST_DATABASE_URL'), await freePort())
  const ask = async (): Promise<unknown> => {
    const client = new pg.Client({ connectionString: gate.url, connectionTimeoutMillis: 10_000 })
    client.on('error', () => undefined)
    await client.connect()
    const { rows } = await client.query<{ one: number }>('select 1 as one')
    await client.end()
    return rows[0]?.one
  }
  expect(await ask()).toBe(1)
  const open = new pg.Client({ connectionString: gate.url })
  await open.connect()
  const broken = new Promise((resolve) => open.once('error', resolve))
  await gate.shut()
  expect(await broken).toBeInstanceOf(Error)
  await expect(ask()).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await gate.open()
  expect(await ask()).toBe(1)
})

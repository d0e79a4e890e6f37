import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { tempDir } from '@sealfleet/testkit'
import { afterEach, expect, it, vi } from 'vitest'
import { startS3rver, stopS3rver } from '../lib/s3rver.mjs'

/** A disk on which every write of a body takes its time. */
const SLOW_DISK = `
  const fs = require('fs')
  const { write, writev } = fs
  const slow = (call) => function (fd, data, ...rest) {
    const late = Buffer.concat([data].flat().map((part) => Buffer.from(part))).includes('body')
    setTimeout(() => call(fd, data, ...rest), late ? 300 : 0)
  }
  fs.write = slow(write)
  fs.writev = slow(writev)`

afterEach(() => {
  vi.unstubAllEnvs()
})

interface Access {
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

function clientOf({ endpoint, region, accessKeyId, secretAccessKey }: Access): S3Client {
  return new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
  })
}

it('s3rver: what a PUT was answered for can be read at once, whole, however slow the disk; before that, the older object or it', async () => {
  await using dir = await tempDir()
  const shim = join(dir.path, 'slow-disk.cjs')
  await writeFile(shim, SLOW_DISK)
  vi.stubEnv('NODE_OPTIONS', `--require ${shim}`)
  const client = clientOf(await startS3rver({ dir: dir.path }))
  const where = { Bucket: 'bucket', Key: 'folder/key' }
  const put = (Body: string) => client.send(new PutObjectCommand({ ...where, Body }))
  const get = async () => (await client.send(new GetObjectCommand(where))).Body?.transformToString()
  try {
    await client.send(new CreateBucketCommand({ Bucket: 'bucket' }))
    await put('body 1')
    expect(await get()).toBe('body 1')
    const second = put('body 2')
    expect(['body 1', 'body 2']).toContain(await get())
    await second
    expect(await get()).toBe('body 2')
  } finally {
    client.destroy()
    await stopS3rver({ dir: dir.path })
  }
})

it('s3rver: serves only requests that are signed with its own secret, which stays the same from start to start', async () => {
  await using dir = await tempDir()
  const access = await startS3rver({ dir: dir.path })
  const client = clientOf(access)
  const code = async (change: Partial<Access>): Promise<string> => {
    const other = clientOf({ ...access, ...change })
    return await other.send(new ListObjectsV2Command({ Bucket: 'bucket' })).then(
      () => 'served',
      (error: Error) => error.name,
    )
  }
  try {
    expect(access.secretAccessKey).toMatch(/^[0-9a-f]{40}$/)
    await client.send(new CreateBucketCommand({ Bucket: 'bucket' }))
    // Characters that clients and servers encode differently, in keys and in queries.
    const Key = "a b/ü+&=%'()*!~日本.txt"
    await client.send(new PutObjectCommand({ Bucket: 'bucket', Key, Body: 'x', Metadata: { note: 'a  b' } }))
    const { Contents } = await client.send(new ListObjectsV2Command({ Bucket: 'bucket', Prefix: 'a b/ü+&' }))
    expect(Contents?.map((one) => one.Key)).toEqual([Key])

    expect(await code({})).toBe('served')
    expect(await code({ secretAccessKey: 'f'.repeat(40) })).toBe('SignatureDoesNotMatch')
    expect(await code({ accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' })).toBe('InvalidAccessKeyId')
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await fetch(`${access.endpoint}/bucket/x`, { method })
      expect([answer.status, await answer.text()]).toEqual([403, expect.stringContaining('AccessDenied') as unknown])
    }
    await stopS3rver({ dir: dir.path })
    const again = await startS3rver({ dir: dir.path })
    expect(again.secretAccessKey).toBe(access.secretAccessKey)
  } finally {
    client.destroy()
    await stopS3rver({ dir: dir.path })
  }
})

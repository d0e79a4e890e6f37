/** A fleet whose programs have the rights of docs/operate/rights.md on the bucket, each its own, on a server that enforces them. */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'

import { bucketAs, type PolicyUser } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createWorld, type World } from './support/world.js'

interface Report {
  readonly findings: readonly { readonly check: string; readonly state: string; readonly fix?: string }[]
}

let world: World
let fileId = ''
beforeAll(async () => {
  world = await createWorld({ store: 'radosgw', versioning: true })
  expect((await world.sealfleet(['keys', 'init'])).status).toBe(0)
}, 240_000)
afterAll(() => world?.[Symbol.asyncDispose]())

/** The bucket's keys as that user has them; the policy is in force until the next call. */
async function rightsOf(user: PolicyUser, without?: string): Promise<Record<string, string>> {
  const own = (name: string): string => world.env[`SEALFLEET_S3_${name}`] ?? ''
  const { accessKeyId, secretAccessKey } = await bucketAs(
    user,
    {
      endpoint: own('ENDPOINT'),
      region: own('REGION'),
      bucket: own('BUCKET'),
      accessKeyId: own('ACCESS_KEY_ID'),
      secretAccessKey: own('SECRET_ACCESS_KEY'),
    },
    without,
  )
  return { SEALFLEET_S3_ACCESS_KEY_ID: accessKeyId, SEALFLEET_S3_SECRET_ACCESS_KEY: secretAccessKey }
}

describe('under the policy of docs/operate/rights.md', () => {
  it('a worker stores a small file, and a large one in parts', async () => {
    await using _worker = await world.worker({ ...(await rightsOf('worker')), SEALFLEET_S3_PART_SIZE: '5MiB' })
    await writeFile(path.join(world.data, 'small'), randomBytes(70_000))
    await writeFile(path.join(world.data, 'large'), randomBytes(11 * 2 ** 20))
    const ran = await world.sealfleet(['enqueue', 'small', 'large', '--wait', '--json'])
    expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
    fileId = ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? ''
  })

  it('an auditor verifies and can remove nothing', async () => {
    const env = await rightsOf('auditor')
    const verified = await world.sealfleet(['verify', '--all', '--json'], { env })
    expect(verified.status, verified.stderr + verified.stdout.toString()).toBe(0)
    const removed = await world.sealfleet(['maintenance', 'run', 'sweep', '--json'], { env })
    expect(removed.stdout.toString() + removed.stderr).toContain('S3_ACCESS_DENIED')
  })

  it('maintenance’s rights suffice to remove, to sweep, to scan, and for the doctor', async () => {
    const env = await rightsOf('maintenance')
    for (const args of [
      ['rm', fileId, '--reason', 'test', '--yes'],
      ['maintenance', 'run', 'sweep', '--scan'],
    ]) {
      const ran = await world.sealfleet(args, { env })
      expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
    }
    const { findings } = (await world.sealfleet(['doctor', '--json'], { env })).json<Report>()
    expect(findings.filter(({ check }) => check.startsWith('s3')).map(({ check, state }) => [check, state])).toEqual([
      ['s3', 'ok'],
      ['s3 objects', 'ok'],
      ['s3 signatures', 'ok'],
    ])
  })

  it.each(['s3:ListBucket', 's3:ListBucketVersions', 's3:ListBucketMultipartUploads', 's3:AbortMultipartUpload'])(
    'the doctor says so when %s is missing',
    async (action) => {
      const env = await rightsOf('maintenance', action)
      const { findings } = (await world.sealfleet(['doctor', '--json'], { env })).json<Report>()
      const objects = findings.filter(({ check }) => check === 's3 objects')
      expect(objects.map(({ state }) => state)).not.toContain('ok')
      if (action !== 's3:ListBucket') expect(objects.map(({ fix }) => fix).join('\n')).toContain(action)
    },
  )
})

import { DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { longTest, every, type FaultProxy, matrix, startFaultProxy } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

const MiB = 2 ** 20
const BIG = 48 * MiB

interface Run {
  readonly id: string
  readonly state: string
  readonly created?: boolean
  readonly changed?: boolean
  readonly items: Record<string, number>
}
interface ObjectOf {
  readonly object: { readonly key: string; readonly version: string; readonly encKeyVersion: number }
}

let world: World
let running: AsyncDisposable[] = []
let proxy: FaultProxy
const ids = new Map<string, string>()

beforeAll(async () => {
  world = await createWorld({ store: 'radosgw', versioning: true })
  proxy = await startFaultProxy(world.env['SEALFLEET_S3_ENDPOINT'] ?? '')
  await world.sealfleet(['keys', 'init'])
  running = [await world.worker(), await world.maintenance()]
  const files = { big: BIG, other: 5 * MiB + 3, empty: 0, 'sub/one': 1 }
  await mkdir(path.join(world.data, 'sub'))
  for (const [name, size] of Object.entries(files)) await writeFile(path.join(world.data, name), randomBytes(size))
  const ran = await world.sealfleet(['enqueue', '.', '--wait', '--json'])
  for (const { relativePath, fileId } of ran.json<{ files: { relativePath: string; fileId: string }[] }>().files)
    ids.set(relativePath, fileId)
})
afterAll(async () => {
  for (const one of running) await one[Symbol.asyncDispose]()
  await proxy?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

const plain = (name: string) => readFile(path.join(world.data, name))
const json = async <T>(...args: string[]): Promise<T> => (await world.inProcess([...args, '--json'])).json<T>()
const objectOf = (name: string) => json<ObjectOf>('status', ids.get(name) ?? '')
let version = 1

/** Moves everything to a new version; @returns the run as `--wait` reports it */
async function rekeyed(): Promise<Run> {
  expect((await world.inProcess(['keys', 'rotate'])).status).toBe(0)
  const ran = await world.inProcess(['rekey', '--domain', 'default', '--from', String(version), '--wait', '--json'])
  expect(ran.status, ran.stdout.toString() + ran.stderr).toBe(0)
  version += 1
  return ran.json<Run>()
}

/** As maintenance does when the grace is over. */
async function deleteVersion({ object }: ObjectOf): Promise<void> {
  const s3 = new S3Client({
    endpoint: world.env['SEALFLEET_S3_ENDPOINT'] ?? '',
    region: world.env['SEALFLEET_S3_REGION'] ?? '',
    forcePathStyle: true,
    credentials: {
      accessKeyId: world.env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: world.env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
    },
  })
  const Bucket = world.env['SEALFLEET_S3_BUCKET']
  await s3.send(new DeleteObjectCommand({ Bucket, Key: object.key, VersionId: object.version }))
  s3.destroy()
}

describe('sealfleet rekey', () => {
  it('is refused before a rotation, for versions that never were, and without its options', async () => {
    const cases: [string[], number, string][] = [
      [['rekey', '--domain', 'default', '--from', '1'], 1, 'BAD_STATE'],
      [['rekey', '--domain', 'default', '--from', '9'], 4, 'NOT_FOUND'],
      [['rekey', '--domain', 'nobody', '--from', '1'], 4, 'NOT_FOUND'],
      [['rekey', '--domain', 'default'], 2, 'USAGE'],
      [['rekey', '--domain', 'default', '--from', '1', '--rate', '0'], 2, 'USAGE'],
      [['rekey', 'status', 'x'], 2, 'USAGE'],
      [['rekey', 'pause', '00000000-0000-4000-8000-000000000000'], 4, 'NOT_FOUND'],
    ]
    for (const [args, status, code] of cases) {
      const ran = await world.inProcess([...args, '--json'])
      const said = [ran.stdout.toString(), ran.stderr].join('').trim()
      expect([ran.status, (JSON.parse(said) as { error: { code: string } }).error.code], args.join(' ')).toEqual([
        status,
        code,
      ])
    }
  })

  it('counts in a dry run, is paused, found open, resumed, waited for, and leaves its rows in the audit log', async () => {
    await world.inProcess(['keys', 'rotate'])
    const asked = ['rekey', '--domain', 'default', '--from', '1']
    expect(await json(...asked, '--dry-run')).toMatchObject({ files: 4, bytes: BIG + 5 * MiB + 4, dryRun: true })
    const begun = await json<Run>(...asked, '--rate', '0.001')
    expect(begun).toMatchObject({ created: true, state: 'ACTIVE', filesPerSecond: 0.001 })
    expect(await json('rekey', 'pause', begun.id, '--reason', 'lunch')).toMatchObject({
      changed: true,
      state: 'PAUSED',
    })
    expect(await json('rekey', 'pause', begun.id)).toMatchObject({ changed: false, state: 'PAUSED' })
    expect(await json('rekey', 'resume', begun.id, '--dry-run')).toMatchObject({ dryRun: true, state: 'PAUSED' })
    expect(await json('rekey', 'resume', begun.id)).toMatchObject({ changed: true, state: 'ACTIVE' })
    const waited = await world.inProcess([...asked, '--rate', '100', '--wait'])
    expect(waited.status, waited.stderr).toBe(0)
    expect(waited.stdout.toString()).toMatch(/^state +DONE$/m)
    expect(waited.stderr).toMatch(/^4 of 4 files$/m)
    version = 2
    const { runs } = await json<{ runs: Run[] }>('rekey', 'status')
    expect(runs).toMatchObject([{ id: begun.id, state: 'DONE', items: { DONE: 4, FAILED: 0 } }])
    expect((await world.inProcess(['rekey', 'status', begun.id])).stdout.toString()).toContain(begun.id)
    expect(await json('rekey', 'retry', begun.id)).toMatchObject({ retried: 0 })
    expect((await world.inProcess(['rekey', 'cancel', begun.id])).status).toBe(1)
    const { default: pg } = await import('pg')
    const client = new pg.Client({ connectionString: world.databaseUrl })
    await client.connect()
    const { rows } = await client.query<{ action: string; actor: string; detail: { reason?: string } }>(
      `SELECT action, actor, detail FROM audit_log WHERE subject_kind = 'rekey-run' ORDER BY id`,
    )
    await client.end()
    expect(rows.map(({ action }) => action)).toEqual([
      'rekey.start',
      'rekey.pause',
      'rekey.resume',
      'rekey.start',
      'rekey.done',
    ])
    expect([rows[0]?.actor, rows[1]?.detail.reason]).toEqual(['cli:tester', 'lunch'])
    expect((await objectOf('big')).object.encKeyVersion).toBe(2)
  })

  it('has help for every verb', async () => {
    for (const verb of [[], ['start'], ['status'], ['pause'], ['resume'], ['cancel'], ['retry']]) {
      const ran = await world.inProcess(['rekey', ...verb, '--help'])
      expect([ran.status, ran.stdout.toString().includes('Usage: sealfleet rekey')], verb.join()).toEqual([0, true])
    }
  })
})

describe('a reading that is overtaken by a re-encryption', () => {
  /** A read of many segments breaks once, in the middle: the next request for the rest finds the object gone. */
  const breakAfter = (after: number): void => {
    proxy.reset()
    proxy.inject(
      'GetObject',
      { kind: 'cut-body', after },
      { times: 1, when: ({ headers }) => lengthOf(headers.range) > 2 * MiB },
    )
  }
  const lengthOf = (range: string | undefined): number => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? []
    return Number(to) - Number(from)
  }
  const through = () => ({ env: { SEALFLEET_S3_ENDPOINT: proxy.endpoint } })

  const readings: readonly [what: string, range: readonly string[], start: number, end: number][] = [
    ['the whole file', [], 0, BIG],
    ['a range', ['--range', `${MiB + 5}-${BIG - 7}`], MiB + 5, BIG - 6],
  ]
  matrix(readings, every(2))(
    'of %s goes on at its offset in the new object: every byte as it was',
    async ([, range, start, end]) => {
      const old = await objectOf('big')
      breakAfter(30 * MiB)
      const child = world.start(['restore', ids.get('big') ?? '', ...range, '-o', '-'], through())
      const ended = finishedBut(child)
      const stdout = child.stdout as Readable
      const head = await firstBytes(stdout)
      // No one reads on: the command stands in the middle of the file, far before the break.
      await rekeyed()
      await deleteVersion(old)
      const hash = createHash('sha256').update(head)
      let length = head.length
      for await (const chunk of stdout) {
        hash.update(chunk as Buffer)
        length += (chunk as Buffer).length
      }
      const { status, stderr } = await ended
      expect([status, stderr]).toEqual([0, expect.not.stringContaining('S3_NO_SUCH_OBJECT') as string])
      const expected = (await plain('big')).subarray(start, end)
      expect(length).toBe(expected.length)
      expect(hash.digest('hex')).toBe(createHash('sha256').update(expected).digest('hex'))
      // It did look for the old object, and then for the new one.
      const seen = proxy.seen.filter(({ operation }) => operation === 'GetObject').map(({ path: line }) => line)
      const { object } = await objectOf('big')
      expect([
        seen.some((line) => line.includes(old.object.key)),
        seen.some((line) => line.includes(object.key)),
      ]).toEqual([true, true])
    },
  )

  it('fails when the object is gone and no re-encryption explains it', async () => {
    const lost = await objectOf('other')
    await deleteVersion(lost)
    const ran = await world.inProcess(['restore', ids.get('other') ?? '', '-o', path.join(world.dir, 'lost'), '--json'])
    expect([ran.status, ran.json<{ error: { code: string } }>().error.code]).toEqual([4, 'S3_NO_SUCH_OBJECT'])
    expect((await world.inProcess(['verify', ids.get('other') ?? '', '--json'])).status).toBe(4)
  })

  longTest(
    'a file whose object is lost fails the run with its code; the others move, and it may be retried',
    async () => {
      expect((await world.inProcess(['keys', 'rotate'])).status).toBe(0)
      const ran = await world.inProcess(['rekey', '--domain', 'default', '--from', String(version), '--wait', '--json'])
      version += 1
      const run = ran.json<Run & { failed: { fileId: string; code: string }[] }>()
      expect([ran.status, run.state, run.items['DONE'], run.items['FAILED']]).toEqual([1, 'DONE', 3, 1])
      expect(run.failed).toMatchObject([{ fileId: ids.get('other'), code: 'S3_NO_SUCH_OBJECT' }])
      const status = await world.inProcess(['rekey', 'status', run.id])
      expect([status.status, status.stdout.toString()]).toEqual([
        1,
        expect.stringContaining('S3_NO_SUCH_OBJECT') as string,
      ])
      expect(await json('rekey', 'retry', run.id, '--dry-run')).toMatchObject({ retried: 1, dryRun: true })
      expect(await json('rekey', 'retry', run.id)).toMatchObject({ retried: 1 })
    },
  )
})

/** The first bytes that come; the stream stands still afterwards. */
async function firstBytes(stream: Readable): Promise<Buffer> {
  for (;;) {
    const chunk = stream.read() as Buffer | null
    if (chunk !== null) return chunk
    await once(stream, 'readable')
  }
}

/** The end of a command whose standard output someone else reads. */
async function finishedBut(child: ReturnType<World['start']>): Promise<{ status: number | null; stderr: string }> {
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stderr }
}

import { GetObjectCommand, PutObjectCommand, S3Client, type GetObjectCommandOutput } from '@aws-sdk/client-s3'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { every, matrix } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, finished, type World } from './support/world.js'

const MiB = 2 ** 20
const BIN = path.resolve(import.meta.dirname, '../bin/sealfleet.mjs')

interface Stored {
  readonly fileId: string
  readonly outcome: string
  readonly objectKey: string
  readonly relativePath: string
}

const FILES: Readonly<Record<string, number>> = {
  empty: 0,
  one: 1,
  'sub/almost': MiB - 1,
  'sub/exact': MiB,
  'sub/deeper/beyond [1]': MiB + 1,
  big: 64 * MiB,
}

let world: World
let worker: AsyncDisposable
const stored = new Map<string, Stored>()

beforeAll(async () => {
  world = await createWorld()
  await world.sealfleet(['keys', 'init'])
  worker = await world.worker()
  for (const [name, size] of Object.entries(FILES)) {
    await mkdir(path.dirname(path.join(world.data, name)), { recursive: true })
    await writeFile(path.join(world.data, name), randomBytes(size))
  }
  const ran = await world.sealfleet(['enqueue', '.', '--wait', '--context', 'tenant 7', '--json'])
  for (const file of ran.json<{ files: Stored[] }>().files) stored.set(file.relativePath, file)
})
afterAll(async () => {
  await worker[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const fileOf = (name: string): Stored => {
  const found = stored.get(name)
  if (found === undefined) throw new Error(`${name} was not enqueued`)
  return found
}
const plain = (name: string) => readFile(path.join(world.data, name))
async function output(): Promise<string> {
  const folder = path.join(world.dir, `out-${randomBytes(4).toString('hex')}`)
  await mkdir(folder)
  return folder
}
/** Settings in which neither Redis nor Postgres exists. */
const ALONE = { SEALFLEET_DATABASE_URL: undefined, SEALFLEET_REDIS_URL: undefined, SEALFLEET_ROOTS: undefined }

describe('sealfleet restore', () => {
  it('gets everything back as it was, in its original folders', async () => {
    expect([...stored.values()].map(({ outcome }) => outcome)).toEqual(Object.keys(FILES).map(() => 'stored'))
    const out = await output()
    const ran = await world.sealfleet(['restore', '--all', '-o', path.join(out, 'new', 'folder')])
    expect(ran.status, ran.stderr).toBe(0)
    expect(ran.stdout.toString()).toMatch(/^6 files restored, 67\.0 MiB, 0 failed$/m)
    for (const name of Object.keys(FILES)) {
      expect((await readFile(path.join(out, 'new', 'folder', name))).equals(await plain(name)), name).toBe(true)
    }
    expect((await readdir(path.join(out, 'new', 'folder'))).sort()).toEqual(['big', 'empty', 'one', 'sub'])
  })

  it('writes one file, all of it or a range, to a path or to standard output', async () => {
    const out = await output()
    const { fileId } = fileOf('sub/deeper/beyond [1]')
    const whole = await plain('sub/deeper/beyond [1]')
    expect((await world.sealfleet(['restore', fileId, '-o', path.join(out, 'x')])).status).toBe(0)
    expect((await readFile(path.join(out, 'x'))).equals(whole)).toBe(true)
    const piped = await world.sealfleet(['restore', fileId, '--range', `${MiB - 5}-${MiB}`])
    expect(piped.stdout.equals(whole.subarray(MiB - 5))).toBe(true)
    expect((await world.inProcess(['restore', fileId, '-o', '-'])).stdout.equals(whole)).toBe(true)
    expect((await world.inProcess(['restore', fileOf('empty').fileId])).stdout).toHaveLength(0)
    expect((await world.inProcess(['restore', fileId, '--range', '9000000-'])).status).toBe(2)
  })

  it('never replaces what is there unless forced; others of many go on', async () => {
    const out = await output()
    await mkdir(path.join(out, 'sub'))
    await writeFile(path.join(out, 'sub', 'exact'), 'mine')
    const many = await world.inProcess(['restore', '--prefix', 'sub/', '-o', out, '--json'])
    expect(many.status).toBe(1)
    const lines = many.stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines.at(-1)).toEqual({ summary: expect.objectContaining({ files: 3, restored: 2, failed: 1 }) as object })
    expect(lines).toContainEqual(
      expect.objectContaining({
        relativePath: 'sub/exact',
        error: expect.objectContaining({ code: 'OUTPUT_EXISTS' }) as object,
      }),
    )
    expect(await readFile(path.join(out, 'sub', 'exact'), 'utf8')).toBe('mine')
    const one = ['restore', fileOf('sub/exact').fileId, '-o', path.join(out, 'sub', 'exact')]
    expect((await world.inProcess(one)).status).toBe(1)
    expect((await world.inProcess([...one, '--force'])).status).toBe(0)
    expect((await readFile(path.join(out, 'sub', 'exact'))).equals(await plain('sub/exact'))).toBe(true)
  })

  it('leaves nothing under the final name when it is stopped', async () => {
    const out = await output()
    const child = world.start(['restore', fileOf('big').fileId, '-o', path.join(out, 'big')])
    const end = finished(child)
    // The first progress or the temporary file: whichever is seen, the file is being written.
    while (child.exitCode === null && (await readdir(out)).length === 0) await new Promise(setImmediate)
    child.kill('SIGTERM')
    const ran = await end
    expect(ran.signal).toBe('SIGTERM')
    expect(ran.stderr).toMatch(/CANCELLED/)
    expect(await readdir(out)).toEqual([])
  })

  it('drops folders at the beginning of paths, or refuses before anything is written', async () => {
    const out = await output()
    const strip = (...args: string[]) => world.inProcess(['restore', ...args, '-o', out])
    expect((await strip('--prefix', 'sub/', '--strip', 'sub/')).status).toBe(0)
    expect((await readdir(out)).sort()).toEqual(['almost', 'deeper', 'exact'])
    expect((await readFile(path.join(out, 'deeper', 'beyond [1]'))).equals(await plain('sub/deeper/beyond [1]'))).toBe(
      true,
    )
    expect((await strip('--prefix', 'sub/deeper/', '--strip-components', '2')).status).toBe(0)
    const before = (await readdir(out)).sort()
    expect(before).toEqual(['almost', 'beyond [1]', 'deeper', 'exact'])
    for (const [args, said] of [
      [['--prefix', 'sub/', '--strip', 'su'], '3 paths of 3 do not lie below su'],
      [['--all', '--strip-components', '1'], '3 paths of 6 would have no name left'],
      [['--all', '--strip', 'sub', '--strip-components', '1'], 'not both'],
    ] as const) {
      const ran = await strip(...args)
      expect([ran.status, ran.stderr.includes(said)], ran.stderr).toEqual([2, true])
    }
    expect((await readdir(out)).sort()).toEqual(before)
  })

  it('stops at a full disk with one failure, leaves what is whole, and goes on when there is room', async () => {
    const KiB = 1024
    const names = Array.from({ length: 24 }, (_, n) => `full/${String(n).padStart(2, '0')}`)
    await mkdir(path.join(world.data, 'full'))
    for (const name of names) await writeFile(path.join(world.data, name), randomBytes(64 * KiB))
    expect((await world.sealfleet(['enqueue', 'full', '--wait'])).status).toBe(0)
    const out = await output()
    // A file system of this test alone, with room for some of them; it ends with the process.
    const script = `mount -t tmpfs -o size=${10 * 64}k tmpfs "$1" && node "$2" restore --prefix full/ -o "$1" --json; echo $?; ls -AR "$1"; mount -o remount,size=8m "$1" && node "$2" restore --prefix full/ -o "$1" --json --skip-existing | tail -n1; find "$1" -type f | wc -l`
    const child = spawn('unshare', ['-rm', 'sh', '-c', script, 'sh', out, BIN], {
      cwd: world.data,
      env: { ...world.env },
    })
    const said = (await finished(child)).stdout.toString()
    const { summary } = JSON.parse(/^\{"summary".*$/m.exec(said)?.[0] ?? '{}') as { summary: Record<string, number> }
    expect(summary, said).toMatchObject({ files: 24, failed: 1, stopped: 'no space is left there' })
    expect(summary['restored']).toBeGreaterThan(0)
    expect((summary['restored'] ?? 0) + (summary['notTried'] ?? 0)).toBe(23)
    expect(said).toMatch(/^1$/m)
    expect(said).not.toContain('.part')
    const left = 24 - (summary['restored'] ?? 0)
    expect(said).toContain(`"restored":${left},"bytes":${left * 64 * KiB},"existed":${summary['restored']},"failed":0`)
    expect(said.trim().split('\n').at(-1)).toBe('24')
  })

  it.each([
    [['restore', 'nobody'], 4, 'NOT_FOUND'],
    [['restore', '--prefix', 'nothing/here', '-o', 'x'], 4, 'NOT_FOUND'],
    [['restore'], 2, 'USAGE'],
    [['restore', '--all'], 2, 'USAGE'],
    [['verify'], 2, 'USAGE'],
    [['verify', 'nobody'], 4, 'NOT_FOUND'],
  ])('%j ends with %i and %s', async (args, status, code) => {
    const ran = await world.inProcess([...args, '--json'])
    const said = [ran.stdout.toString(), ran.stderr].join('').trim()
    expect([ran.status, (JSON.parse(said) as { error: { code: string } }).error.code]).toEqual([status, code])
  })

  it.each([
    // Under an id of its own: a rejected PIN is locked out for all who share its id.
    [{ SEALFLEET_PKCS11_PIN: '0000-wrong', SEALFLEET_PKCS11_PIN_ID: 'mistyped' }, 6, 'HSM_ACCESS_DENIED'],
    [{ SEALFLEET_PKCS11_TOKEN: 'no such token' }, 6, 'HSM_'],
    [{ SEALFLEET_S3_ENDPOINT: 'http://127.0.0.1:1' }, 6, 'S3_UNAVAILABLE'],
    [{ SEALFLEET_S3_BUCKET: 'no-such-bucket' }, 6, 'S3_NO_BUCKET'],
    [{ SEALFLEET_DATABASE_URL: 'postgresql://nobody:x@127.0.0.1:1/none' }, 6, 'DB_UNAVAILABLE'],
    [{ SEALFLEET_PKCS11_MODULE: '/no/such/module.so' }, 6, 'HSM_'],
  ])('with %j ends with %i, says what to do, and leaves no file', async (env, status, code) => {
    const out = await output()
    const ran = await world.inProcess(['restore', fileOf('one').fileId, '-o', path.join(out, 'x'), '--json'], {
      env: { SEALFLEET_S3_MAX_ATTEMPTS: '1', ...env },
    })
    const { error } = ran.json<{ error: { code: string; fix: string } }>()
    expect([ran.status, error.code.startsWith(code), error.fix.length > 0], error.code).toEqual([status, true, true])
    expect(await readdir(out)).toEqual([])
    expect(ran.stdout.toString() + ran.stderr).not.toContain('0000-wrong')
  })
})

describe('sealfleet object', () => {
  const address = (name: string): string => `s3://${world.env['SEALFLEET_S3_BUCKET']}/${fileOf(name).objectKey}`
  const s3 = () =>
    new S3Client({
      endpoint: world.env['SEALFLEET_S3_ENDPOINT'] ?? '',
      region: world.env['SEALFLEET_S3_REGION'] ?? '',
      forcePathStyle: true,
      credentials: {
        accessKeyId: world.env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
        secretAccessKey: world.env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
      },
    })
  const fetched = async (name: string): Promise<{ bytes: Buffer; got: GetObjectCommandOutput }> => {
    const where = { Bucket: world.env['SEALFLEET_S3_BUCKET'], Key: fileOf(name).objectKey }
    const got = await s3().send(new GetObjectCommand(where))
    return { bytes: Buffer.from((await got.Body?.transformToByteArray()) ?? []), got }
  }

  it('opens with Redis and Postgres gone, from any copy or straight from S3', async () => {
    const out = await output()
    const copy = path.join(out, 'copy')
    await writeFile(copy, (await fetched('sub/exact')).bytes)
    const local = await world.sealfleet(['object', 'open', copy, '--context', 'tenant 7', '-o', path.join(out, 'a')], {
      env: { ...ALONE, SEALFLEET_S3_ENDPOINT: undefined, SEALFLEET_S3_BUCKET: undefined },
    })
    expect(local.status, local.stderr).toBe(0)
    expect((await readFile(path.join(out, 'a'))).equals(await plain('sub/exact'))).toBe(true)
    const remote = await world.inProcess(['object', 'open', address('sub/exact'), '-o', path.join(out, 'b')], {
      env: ALONE,
    })
    expect(remote.status, remote.stderr).toBe(0)
    expect(remote.stderr).toContain("from the object's metadata")
    expect((await readFile(path.join(out, 'b'))).equals(await plain('sub/exact'))).toBe(true)
  })

  it('insists on the right context, or on hearing that it is not checked', async () => {
    const out = await output()
    const copy = path.join(out, 'copy')
    await writeFile(copy, (await fetched('one')).bytes)
    const open = (...context: string[]) =>
      world.inProcess(['object', 'open', copy, ...context, '-o', path.join(out, `r${context.length}`), '--json'], {
        env: ALONE,
      })
    for (const wrong of [[], ['--context', 'tenant 8']]) {
      const ran = await open(...wrong)
      expect([ran.status, ran.json<{ error: { code: string } }>().error.code]).toEqual([3, 'E_CONTEXT'])
    }
    expect((await open('--context-unchecked')).json<{ contextChecked: boolean }>().contextChecked).toBe(false)
    expect((await open('--context', 'a', '--context-unchecked')).status).toBe(2)
    expect((await readdir(out)).sort()).toEqual(['copy', 'r1'])
  })

  it('inspects without a key, and verifies without decrypting', async () => {
    const settings = { env: { ...ALONE, SEALFLEET_PKCS11_MODULE: undefined, SEALFLEET_PKCS11_PIN: undefined } }
    const seen = await world.inProcess(['object', 'inspect', address('sub/almost'), '--json'], settings)
    expect(seen.json()).toMatchObject({
      fileId: fileOf('sub/almost').fileId,
      plaintextLength: MiB - 1,
      authenticated: false,
    })
    const verified = await world.inProcess(['object', 'verify', address('big'), '--json'], { env: ALONE })
    expect(verified.json()).toMatchObject({ verified: true, contextChecked: true, segments: 64 })
  })

  const flip = (bytes: Buffer, at: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy.writeUInt8(copy.readUInt8(at) ^ 1, at)
    return copy
  }
  const DAMAGE: readonly [string, (bytes: Buffer) => Buffer, number, string, string][] = [
    ['a flipped bit of ciphertext', (b) => flip(b, 330), 3, 'E_SEGMENT_AUTH', 'E_SEGMENT_AUTH'],
    ['a flipped bit of the trailer', (b) => flip(b, b.length - 1), 3, 'E_TRAILER_AUTH', 'E_TRAILER_AUTH'],
    ['a cut-off end', (b) => b.subarray(0, b.length - 40), 3, 'E_TRAILER_AUTH', 'E_RECORD_MISMATCH'],
    ['a mere stump', (b) => b.subarray(0, 400), 3, 'E_LENGTH', 'E_LENGTH'],
    ['a foreign file', () => Buffer.alloc(500, 'x'), 3, 'E_FORMAT', 'E_FORMAT'],
    ['another signing key version', (b) => flip(b, 0x36), 5, 'E_KEY_UNKNOWN', 'E_RECORD_MISMATCH'],
  ]
  matrix(DAMAGE, every(3))(
    'refuses %s, alone and by its record, and leaves no file',
    async ([, damage, status, code, byRecord]) => {
      const out = await output()
      const { bytes, got } = await fetched('sub/almost')
      const where = { Bucket: world.env['SEALFLEET_S3_BUCKET'], Key: fileOf('sub/almost').objectKey }
      const put = (Body: Buffer) => s3().send(new PutObjectCommand({ ...where, Body, Metadata: got.Metadata }))
      await put(damage(bytes))
      try {
        const target = ['-o', path.join(out, 'x'), '--json']
        const alone = await world.inProcess(['object', 'open', address('sub/almost'), ...target], { env: ALONE })
        expect([alone.status, alone.json<{ error: { code: string } }>().error.code]).toEqual([status, code])
        const restored = await world.inProcess(['restore', fileOf('sub/almost').fileId, ...target])
        expect([restored.status, restored.json<{ error: { code: string } }>().error.code]).toEqual([3, byRecord])
        const verified = await world.inProcess(['verify', '--prefix', 'sub/', '--json'])
        expect(verified.status).toBe(3)
        expect(verified.stdout.toString()).toContain('{"summary":{"files":3,"verified":2,"failed":1,"notTried":0}}')
        expect(await readdir(out)).toEqual([])
      } finally {
        await put(bytes)
      }
    },
  )

  it.each([
    [['object', 'open', '/no/such/object'], 4, 'NOT_FOUND'],
    [['object', 'inspect', 's3://bucket'], 2, 'USAGE'],
    [['object', 'inspect', '.'], 3, 'E_FORMAT'],
  ])('%j ends with %i and %s', async (args, status, code) => {
    const ran = await world.inProcess([...args, '--json'], { env: ALONE })
    const said = ran.stdout.length > 0 ? ran.stdout.toString() : ran.stderr
    expect([ran.status, (JSON.parse(said) as { error: { code: string } }).error.code]).toEqual([status, code])
  })

  it('says that an S3 object is not there: status 4', async () => {
    const ran = await world.inProcess(['object', 'inspect', `${address('one')}x`, '--json'], { env: ALONE })
    expect([ran.status, ran.json<{ error: { code: string } }>().error.code]).toEqual([4, 'S3_NO_SUCH_OBJECT'])
  })
})

import { openKeyAdmin } from '@sealfleet/hsm'
import { getFile } from '@sealfleet/records/files'
import { kekWraps, rewrapNonces } from '@sealfleet/records/keys'
import { listAudit } from '@sealfleet/records/audit'
import { openRecords } from '@sealfleet/records'
import { openStore } from '@sealfleet/store'
import { randomBytes, randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type Ran, type World } from './support/world.js'

interface Report {
  readonly rewrapped: number
  readonly raced: number
  readonly toRewrap: number
  readonly failed: readonly { readonly fileId: string; readonly error: { readonly code: string } }[]
  readonly versions: readonly { readonly version: number; readonly wrapped: number }[]
}

/** Processes start and stop here, on machines that do much else: milliseconds. */
const LONG = 240_000
const FILES = 7

let world: World
let domain: string
let sql: pg.Pool
const contents = new Map<string, Buffer>()

const ok = async (...args: string[]): Promise<Ran> => {
  const ran = await world.inProcess(args)
  expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
  return ran
}
const wraps = async (): Promise<Record<number, number>> => {
  await using records = await openRecords(world.databaseUrl)
  return Object.fromEntries((await kekWraps(records, domain)).map(({ version, wrapped }) => [version, wrapped]))
}
async function expectReadable(): Promise<void> {
  for (const [id, content] of contents) {
    const out = path.join(world.dir, randomUUID())
    await ok('restore', id, '-o', out)
    expect((await readFile(out)).equals(content)).toBe(true)
  }
}
/** Every object's key, ETag and bytes. */
async function inStore(): Promise<string[]> {
  const { env } = world
  using store = await openStore({
    endpoint: env['SEALFLEET_S3_ENDPOINT'] ?? '',
    region: env['SEALFLEET_S3_REGION'] ?? '',
    bucket: env['SEALFLEET_S3_BUCKET'] ?? '',
    accessKeyId: env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
    access: 'read-only',
  })
  const all: string[] = []
  for await (const { key, length, etag } of store.list(`${domain}/`)) {
    const chunks: Uint8Array[] = []
    for await (const chunk of store.reader({ key, length, etag }).read(0, length)) chunks.push(chunk)
    all.push(`${key} ${etag} ${Buffer.concat(chunks).toString('hex')}`)
  }
  return all
}

beforeAll(async () => {
  world = await createWorld()
  sql = new pg.Pool({ connectionString: world.databaseUrl, max: 2 })
  await ok('domains', 'add', 'brief', '--nonces', 'detached', '--accept-loss-with-database')
  await ok('keys', 'init', '--domain', 'brief')
  const listed = (await ok('domains', 'list', '--json')).json<{ domains: { id: string; name: string }[] }>()
  domain = listed.domains.find(({ name }) => name === 'brief')?.id ?? ''
  await using worker = await world.worker()
  for (let i = 0; i < FILES; i++) {
    const content = randomBytes(1000 * i)
    await writeFile(path.join(world.data, `f${i}`), content)
  }
  const names = Array.from({ length: FILES }, (_, i) => `f${i}`)
  const ran = await ok('enqueue', ...names, '--domain', 'brief', '--wait', '--json')
  for (const { fileId, relativePath } of ran.json<{ files: { fileId: string; relativePath: string }[] }>().files)
    contents.set(fileId, await readFile(path.join(world.data, relativePath)))
  await worker[Symbol.asyncDispose]()
}, LONG)
afterAll(async () => {
  await sql.end()
  await world[Symbol.asyncDispose]()
})

describe('sealfleet rewrap', { tags: ['long'] }, () => {
  it('says what it would do, and has nothing to do before a rotation', async () => {
    const dry = (await ok('rewrap', '--domain', 'brief', '--dry-run', '--json')).json<Report>()
    expect(dry).toMatchObject({ toRewrap: 0, versions: [{ version: 1, wrapped: FILES }] })
    const refused = await world.inProcess(['rewrap', '--domain', 'brief', '--from', '1'])
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('BAD_STATE')])
    expect((await world.inProcess(['rewrap', '--domain', 'brief', '--from', '9'])).status).toBe(4)
    expect((await world.inProcess(['rewrap'])).status).toBe(2)
  })

  it(
    'moves every nonce to the new KEK, by several runs at once, while files are read; objects are not touched',
    async () => {
      const before = await inStore()
      await ok('keys', 'rotate', '--domain', 'brief', '--role', 'kek')
      const dry = (await ok('rewrap', '--domain', 'brief', '--dry-run', '--json')).json<Report>()
      expect(dry.toRewrap).toBe(FILES)
      expect(await wraps()).toEqual({ 1: FILES, 2: 0 })

      const [runs] = await Promise.all([
        Promise.all([1, 2, 3].map(() => ok('rewrap', '--domain', 'brief', '--json'))),
        expectReadable(),
      ])
      const reports = runs.map((ran) => ran.json<Report>())
      expect(reports.reduce((sum, { rewrapped }) => sum + rewrapped, 0)).toBe(FILES)
      expect(await wraps()).toEqual({ 1: 0, 2: FILES })
      expect(await inStore()).toEqual(before)
      await using records = await openRecords(world.databaseUrl)
      const audit = await listAudit(records, { subjectKind: 'domain', subjectId: domain })
      expect(audit.filter(({ action }) => action === 'keys.rewrap')).toHaveLength(3)
      expect((await ok('rewrap', '--domain', 'brief', '--json')).json<Report>().rewrapped).toBe(0)
    },
    LONG,
  )

  it(
    'leaves nothing that needs the old KEK: it goes from the token, and every file opens',
    async () => {
      await using admin = await openKeyAdmin({
        module: world.env['SEALFLEET_PKCS11_MODULE'] ?? '',
        token: world.env['SEALFLEET_PKCS11_TOKEN'] ?? '',
        pin: { kind: 'value', value: Buffer.from(world.env['SEALFLEET_PKCS11_PIN'] ?? '') },
        env: { SOFTHSM2_CONF: world.env['SOFTHSM2_CONF'] ?? '' },
      })
      await admin.destroy({ role: 'kek', domain, suite: 1, version: 1 })
      // The header still names it; the record decides.
      const key = (await sql.query<{ k: string }>(`SELECT object_key AS k FROM attempts LIMIT 1`)).rows[0]?.k ?? ''
      const bucket = world.env['SEALFLEET_S3_BUCKET'] ?? ''
      const inspected = await ok('object', 'inspect', `s3://${bucket}/${key}`, '--json')
      expect(inspected.json<{ kekVersion: number }>().kekVersion).toBe(1)
      await expectReadable()
      await ok('verify', '--all')
    },
    LONG,
  )

  it(
    'names nonces that do not open, and does the others; what was exchanged meanwhile is left alone',
    async () => {
      await ok('keys', 'rotate', '--domain', 'brief', '--role', 'kek')
      const [one = '', two = ''] = contents.keys()
      await using records = await openRecords(world.databaseUrl)
      const wrapped = async (id: string) => {
        const found = await getFile(records, id)
        return { attempt: found?.committed?.id ?? '', ...found?.committed?.wrappedNonces }
      }
      // Two rows' nonces swapped: bound to their attempts, they open under neither.
      const [a, b] = [await wrapped(one), await wrapped(two)]
      const exchange = `UPDATE attempts SET wrapped_nonces = $2 WHERE id = $1`
      await sql.query(exchange, [a.attempt, b.wrapped])
      await sql.query(exchange, [b.attempt, a.wrapped])
      const ran = await world.inProcess(['rewrap', '--domain', 'brief', '--rate', '1000', '--json'])
      expect(ran.status).toBe(3)
      const report = ran.json<Report>()
      expect(report.rewrapped).toBe(FILES - 2)
      expect(report.failed.map(({ fileId, error }) => [fileId, error.code]).sort()).toEqual(
        [one, two].map((id) => [id, 'E_NONCE_UNWRAP']).sort(),
      )
      expect(await wraps()).toEqual({ 1: 0, 2: 2, 3: FILES - 2 })
      await sql.query(exchange, [a.attempt, a.wrapped])
      await sql.query(exchange, [b.attempt, b.wrapped])
      await ok('rewrap', '--domain', 'brief', '--from', '2')
      expect(await wraps()).toEqual({ 1: 0, 2: 0, 3: FILES })
      await expectReadable()

      const keys = (await kekWraps(records, domain)).map(({ keyId }) => keyId)
      const stale = { attemptId: a.attempt, from: { kekKeyId: keys[1] ?? '', wrapped: a.wrapped ?? Buffer.of() } }
      const late = { ...stale, wrapped: randomBytes(92) }
      expect(await rewrapNonces(records, keys[2] ?? '', [late])).toEqual([])
      await expect(rewrapNonces(records, keys[1] ?? '', [late])).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY' })
      await expectReadable()
    },
    LONG,
  )

  it(
    'under load: files that are sealed while the KEK rotates end under the new one, and open',
    async () => {
      const names = Array.from({ length: 24 }, (_, i) => `load${i}`)
      const fresh = new Map<string, Buffer>()
      for (const name of names) {
        fresh.set(name, randomBytes(50_000))
        await writeFile(path.join(world.data, name), fresh.get(name) ?? '')
      }
      await using worker = await world.worker()
      const enqueued = world.inProcess(['enqueue', ...names, '--domain', 'brief', '--wait', '--json'])
      await ok('keys', 'rotate', '--domain', 'brief', '--role', 'kek')
      await ok('rewrap', '--domain', 'brief')
      const ran = await enqueued
      expect(ran.status, ran.stderr).toBe(0)
      const { files } = ran.json<{ files: { fileId: string; relativePath: string }[] }>()
      for (const { fileId, relativePath } of files) contents.set(fileId, fresh.get(relativePath) ?? Buffer.of())
      expect(contents.size).toBe(FILES + names.length)
      await ok('rewrap', '--domain', 'brief')
      expect(await wraps()).toEqual({ 1: 0, 2: 0, 3: 0, 4: FILES + names.length })
      await expectReadable()
      await worker[Symbol.asyncDispose]()
    },
    LONG,
  )
})

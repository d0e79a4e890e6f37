import { openRecords } from '@sealfleet/records'
import { listMasterKeys } from '@sealfleet/records/keys'
import { getFile } from '@sealfleet/records/files'
import { listAudit } from '@sealfleet/records/audit'
import { freshDatabase, freshPrefix } from '@sealfleet/testkit'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { openAttempts, type Attempts } from './support/attempts.js'
import { createWorld, finished, type Ran, type World } from './support/world.js'

interface Line {
  readonly fileId?: string | null
  readonly outcome?: string
  readonly attemptNo?: number
  readonly unplaced?: readonly { key: string; code: string }[]
  readonly summary?: Readonly<Record<string, unknown>> & { keys: { label: string; state: string }[] }
}

const lines = (ran: Ran): Line[] =>
  ran.stdout
    .toString()
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text) as Line)
const summaryOf = (ran: Ran) => lines(ran).at(-1)?.summary
const refusals = (ran: Ran) =>
  lines(ran)
    .flatMap(({ unplaced = [] }) => unplaced)
    .map(({ key, code }) => `${code} ${key}`)
    .sort()

/** A migrated database, and settings that know no Redis. */
async function emptyDatabase() {
  const database = await freshDatabase()
  const pool = new pg.Pool({ connectionString: database.url, max: 1 })
  const env = { SEALFLEET_DATABASE_URL: database.url, SEALFLEET_REDIS_URL: undefined }
  return {
    url: database.url,
    env,
    rows: async <T extends pg.QueryResultRow>(text: string, values: unknown[] = []) =>
      (await pool.query<T>(text, values)).rows,
    async [Symbol.asyncDispose]() {
      await pool.end()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Two domains of both suites with two versions of keys, and files that a worker sealed. Contents by file id. */
async function sealFiles(world: World): Promise<{ contents: Map<string, Buffer>; ledger: string }> {
  const ok = async (...args: string[]) => {
    const ran = await world.inProcess(args)
    expect(ran.status, ran.stderr).toBe(0)
    return ran
  }
  await ok('domains', 'add', 'ledger', '--suite', '2')
  await ok('keys', 'init', '--with-audit')
  await ok('keys', 'init', '--domain', 'ledger')
  const contents = new Map<string, Buffer>()
  const enqueue = async (domain: string, name: string, size: number, context: string) => {
    const bytes = randomBytes(size)
    await writeFile(path.join(world.data, name), bytes)
    const ran = await ok('enqueue', name, '--domain', domain, '--context', context, '--wait', '--json')
    contents.set(ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? '', bytes)
  }
  await using worker = await world.worker()
  for (const [i, size] of [0, 1, 70_000].entries()) {
    await enqueue('default', `d${i}`, size, i === 1 ? '' : `tenant ${i}`)
    await enqueue('ledger', `l${i}`, size, 'Konto ✓')
  }
  // Without a worker no one has to confirm a new version.
  await worker[Symbol.asyncDispose]()
  await ok('keys', 'rotate', '--domain', 'default')
  await using again = await world.worker()
  await enqueue('default', 'after', 2 ** 20 + 1, 'later')
  await again[Symbol.asyncDispose]()
  const domains = (await ok('domains', 'list', '--json')).json<{ domains: { id: string; name: string }[] }>().domains
  return { contents, ledger: domains.find(({ name }) => name === 'ledger')?.id ?? '' }
}

/** Every file is verified and restored, and is byte for byte what was sealed. */
async function expectRestored(world: World, env: Record<string, string | undefined>, contents: Map<string, Buffer>) {
  const verified = await world.inProcess(['verify', '--all', '--json'], { env })
  expect(verified.status, verified.stdout.toString()).toBe(0)
  expect(lines(verified).at(-1)?.summary).toMatchObject({ files: contents.size, verified: contents.size })
  for (const [id, content] of contents) {
    const out = path.join(world.dir, `out-${randomUUID()}`)
    const ran = await world.inProcess(['restore', id, '-o', out], { env })
    expect(ran.status, ran.stderr).toBe(0)
    expect((await readFile(out)).equals(content)).toBe(true)
  }
}

/** Processes start and stop here, on machines that do much else: milliseconds. */
const LONG = 240_000

describe.each([
  { kind: 's3rver' as const, versioning: false },
  { kind: 'radosgw' as const, versioning: true },
])('recover on $kind', { tags: ['long'] }, ({ kind, versioning }) => {
  it(
    'brings back every file of a lost database, interrupted and resumed, and names what it cannot place',
    async () => {
      await using world = await createWorld({ store: kind, versioning })
      const { contents, ledger } = await sealFiles(world)
      await using attempts = await openAttempts(world)
      const odd = await oddities(attempts, contents, { ledger, versioning })
      const objectsBefore = await listing(attempts)

      await using database = await emptyDatabase()
      const { env } = database
      const dry = await world.inProcess(['recover', '--dry-run', '--json'], { env })
      expect(dry.status, dry.stderr).toBe(1)
      expect(summaryOf(dry)).toMatchObject({ recovered: contents.size, dryRun: true, complete: true })
      expect(refusals(dry)).toEqual(odd.refused)
      expect(await database.rows('SELECT id FROM files UNION ALL SELECT id FROM master_keys')).toEqual([])

      const child = world.start(['recover', '--json'], { env })
      const ending = finished(child)
      for (let seen = ''; !seen.includes('"recovered"');)
        seen += String(((await once(child.stdout ?? child, 'data')) as [Buffer])[0])
      child.kill('SIGINT')
      const stopped = await ending
      expect([stopped.status, stopped.signal]).toEqual([null, 'SIGINT'])
      const first = Number(lines(stopped).find(({ summary }) => summary)?.summary?.['recovered'])
      expect(first).toBeGreaterThan(0)

      const ran = await world.inProcess(['recover', '--json'], { env })
      expect(ran.status, ran.stderr).toBe(1)
      expect(summaryOf(ran)).toMatchObject({ complete: true, already: first, recovered: contents.size - first })
      const states = (label: string) =>
        database.rows<{ state: string }>('SELECT state FROM master_keys WHERE label = $1', [label])
      expect(await states('sealfleet/default/enc/s1/1')).toEqual([{ state: 'DECRYPT_ONLY' }])
      expect(await states('sealfleet/default/enc/s1/2')).toEqual([{ state: 'ACTIVE' }])
      expect(await states(`sealfleet/${ledger}/sig/s2/1`)).toEqual([{ state: 'ACTIVE' }])
      expect(await states('sealfleet/audit/1')).toEqual([{ state: 'ACTIVE' }])

      await expectRestored(world, env, contents)
      expect(await listing(attempts)).toEqual(objectsBefore)
      await odd.check(database)

      const again = await world.inProcess(['recover', '--json'], { env })
      expect(summaryOf(again)).toMatchObject({ recovered: 0, already: contents.size })
      await using records = await openRecords(database.url)
      const [someId = ''] = contents.keys()
      expect(
        (await listAudit(records, { subjectKind: 'file', subjectId: someId })).map(({ action }) => action),
      ).toEqual(['file.recover', 'recover.file'])
      expect((await listMasterKeys(records)).every(({ state }) => state !== 'PENDING')).toBe(true)
      expect((await world.inProcess(['keys', 'check'], { env })).status).toBe(0)
    },
    LONG,
  )
})

async function listing({ store }: Attempts): Promise<string[]> {
  const all: string[] = []
  for await (const { key, version, etag } of store.listVersions('')) all.push(`${key} ${version ?? ''} ${etag ?? ''}`)
  return all.filter((text) => !text.startsWith('.sealfleet-probe/'))
}

/** What a bucket holds beside the files that were committed. Adds to `contents` what must come back all the same. */
async function oddities(
  attempts: Attempts,
  contents: Map<string, Buffer>,
  { ledger, versioning }: { ledger: string; versioning: boolean },
) {
  const refused: string[] = []
  const content = randomBytes(150_000)
  const flip = (object: Buffer) => object.writeUInt8(object.readUInt8(400) ^ 1, 400)

  // A worker died after its upload; another attempt was stored.
  const [older, newer] = [randomUUID(), randomUUID()]
  const stale = await attempts.seal({ fileId: older, content, attemptNo: 1, context: Buffer.from('c') })
  await attempts.seal({ fileId: older, content, attemptNo: 3, keyVersion: 2, context: Buffer.from('c') })
  contents.set(older, content)
  // The newer attempt lost a bit; the older one is whole. The context is in the metadata of the damaged one alone.
  const context = Buffer.from('only there')
  await attempts.seal({ fileId: newer, content, attemptNo: 1, domain: ledger, suite: 2, context, hideContext: true })
  const forged = await attempts.seal({
    ...{ fileId: newer, content, attemptNo: 2, domain: ledger, suite: 2, context, spoil: flip },
  })
  refused.push(`E_SEGMENT_AUTH ${forged.key}`)
  contents.set(newer, content)
  // A header of a file's newest attempt that no one sealed: it must not raise the file's number beyond reason.
  const vain = await attempts.seal({
    ...{ fileId: older, content, attemptNo: 4 },
    spoil: (object) => object.writeUInt32BE(2_000_000_000, 0x0b8),
  })
  refused.push(`E_HEADER_AUTH ${vain.key}`)
  // Two whole attempts of one number.
  const torn = randomUUID()
  for (let i = 0; i < 2; i++)
    refused.push(`EQUAL_ATTEMPTS ${(await attempts.seal({ fileId: torn, content, attemptNo: 2 })).key}`)
  // Two objects under each other's keys.
  const swapped = [randomUUID(), randomUUID()].map((fileId) => ({ fileId, attemptId: randomUUID() }))
  for (const [i, identity] of swapped.entries()) {
    const other = swapped[1 - i]
    const at = `default/${other?.fileId ?? ''}/${other?.attemptId ?? ''}`
    await attempts.seal({ ...identity, content, attemptNo: 1, at })
    refused.push(`E_WRONG_FILE ${at}`)
  }
  // A context that is nowhere, a key that the token has not, a number that no record holds, rubbish in a good place.
  const lost = { content, attemptNo: 1, context: Buffer.from('nowhere'), hideContext: true }
  refused.push(`E_CONTEXT ${(await attempts.seal({ ...lost, fileId: randomUUID() })).key}`)
  const unknown = await attempts.seal({
    ...{ fileId: randomUUID(), content, attemptNo: 1 },
    spoil: (object) => object.writeUInt32BE(77, 0x034),
  })
  refused.push(`E_KEY_UNKNOWN ${unknown.key}`)
  const unnumbered = await attempts.seal({ fileId: randomUUID(), content, attemptNo: 0 })
  refused.push(`INVALID ${unnumbered.key}`)
  const rubbish = `default/${randomUUID()}/${randomUUID()}`
  await attempts.put(rubbish, randomBytes(1000))
  refused.push(`E_FORMAT ${rubbish}`)
  await attempts.put('notes/read me.txt', Buffer.from('not ours'))
  const again = randomUUID()
  if (versioning) {
    // Sent twice, as when the answer to the last part was lost; and then someone wrote over it.
    const twice = await attempts.seal({ fileId: again, content, attemptNo: 1 })
    const identity = { fileId: again, attemptId: twice.attemptId }
    await attempts.put(twice.key, twice.object, identity)
    await attempts.put(twice.key, randomBytes(900), identity)
    refused.push(`E_FORMAT ${twice.key}`)
    contents.set(again, content)
  }
  return {
    refused: refused.sort(),
    check: async ({ rows }: Awaited<ReturnType<typeof emptyDatabase>>) => {
      const attemptsOf = (id: string) =>
        rows<{ attempt_no: number; state: string; failure_code: string | null }>(
          'SELECT attempt_no, state, failure_code FROM attempts WHERE file_id = $1 ORDER BY attempt_no',
          [id],
        )
      expect(await attemptsOf(older)).toEqual([
        { attempt_no: 1, state: 'ABANDONED', failure_code: null },
        { attempt_no: 3, state: 'COMMITTED', failure_code: null },
      ])
      expect(await rows('SELECT id FROM attempts WHERE id = $1', [stale.attemptId])).toHaveLength(1)
      expect(await attemptsOf(newer)).toEqual([
        { attempt_no: 1, state: 'COMMITTED', failure_code: null },
        { attempt_no: 2, state: 'FAILED', failure_code: 'E_SEGMENT_AUTH' },
      ])
      const numbers = await rows<{ id: string; n: number }>(
        'SELECT id, last_attempt_no AS n FROM files WHERE id = ANY ($1::uuid[])',
        [[older, newer]],
      )
      expect(new Map(numbers.map(({ id, n }) => [id, n]))).toEqual(
        new Map([
          [older, 3],
          [newer, 2],
        ]),
      )
    },
  }
}

describe('recover', () => {
  it(
    'leaves out what detached nonces opened, takes a context that is given, and refuses a database in use',
    async () => {
      await using world = await createWorld()
      const ok = async (args: string[], env: Record<string, string | undefined> = {}) => {
        const ran = await world.inProcess(args, { env })
        expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
        return ran
      }
      await ok(['domains', 'add', 'brief', '--nonces', 'detached', '--accept-loss-with-database'])
      await ok(['keys', 'init'])
      await ok(['keys', 'init', '--domain', 'brief'])
      await writeFile(path.join(world.data, 'detached'), 'gone with its record')
      await using worker = await world.worker()
      const enqueued = await ok(['enqueue', 'detached', '--domain', 'brief', '--wait', '--json'])
      const [file] = enqueued.json<{ files: { fileId: string; objectKey: string }[] }>().files
      await worker[Symbol.asyncDispose]()
      await using attempts = await openAttempts(world)
      const content = Buffer.from('with a context that is nowhere')
      const fileId = randomUUID()
      const context = Buffer.from('kept elsewhere')
      await attempts.seal({ fileId, content, attemptNo: 1, context, hideContext: true })

      const used = await world.inProcess(['recover', '--json'])
      expect(used.status).toBe(1)
      expect(used.json<{ error: { code: string } }>().error.code).toBe('BAD_STATE')
      const merged = await world.inProcess(['recover', '--merge', '--context', 'kept elsewhere', '--json'])
      expect(merged.status, merged.stderr).toBe(0)
      expect(summaryOf(merged)).toMatchObject({ kept: 1, recovered: 1, unplacedTotal: 0 })
      await ok(['verify', '--all'])

      await using database = await emptyDatabase()
      const { env } = database
      const ran = await world.inProcess(['recover', '--context', 'kept elsewhere', '--json'], { env })
      expect(ran.status).toBe(1)
      expect(refusals(ran)).toEqual([`E_NONCES_ABSENT ${file?.objectKey ?? ''}`])
      const out = path.join(world.dir, 'out')
      await ok(['restore', fileId, '-o', out], env)
      expect(await readFile(out)).toEqual(content)
      const domains = (await ok(['domains', 'list', '--json'], env)).json<{ domains: { nonceMode: string }[] }>()
        .domains
      expect(domains.map(({ nonceMode }) => nonceMode).sort()).toEqual(['detached', 'inline'])

      // The records knows nothing of where it came from, so no one is told that it is the same file.
      await writeFile(path.join(world.data, 'asked'), content)
      const asked = await world.inProcess(
        ['enqueue', 'asked', '--id', fileId, '--context', 'kept elsewhere', '--json'],
        {
          // The recovered database is a fleet of its own: its queues are, too.
          env: { SEALFLEET_DATABASE_URL: database.url, SEALFLEET_QUEUE_PREFIX: freshPrefix() },
        },
      )
      expect(asked.stdout.toString()).toContain('REQUEST_CONFLICT')
      await using records = await openRecords(database.url)
      expect((await getFile(records, fileId))?.file.state).toBe('STORED')
    },
    LONG,
  )

  it(
    '--quick says that it did not read every byte, and records no attempt that a sweep could delete',
    async () => {
      await using world = await createWorld()
      expect((await world.inProcess(['keys', 'init'])).status).toBe(0)
      await using attempts = await openAttempts(world)
      const fileId = randomUUID()
      const content = randomBytes(100_000)
      const spoil = (object: Buffer) => object.writeUInt8(object.readUInt8(500) ^ 1, 500)
      await attempts.seal({ fileId, content, attemptNo: 1 })
      await attempts.seal({ fileId, content, attemptNo: 2, spoil })
      await using database = await emptyDatabase()
      const ran = await world.inProcess(['recover', '--quick', '--json'], { env: database.env })
      expect(ran.status, ran.stdout.toString()).toBe(0)
      expect(summaryOf(ran)).toMatchObject({ recovered: 1, quick: true, losers: 0 })
      expect(await database.rows('SELECT attempt_no, state, verified_at FROM attempts')).toEqual([
        { attempt_no: 2, state: 'COMMITTED', verified_at: null },
      ])
      expect((await world.inProcess(['verify', fileId], { env: database.env })).status).toBe(3)
    },
    LONG,
  )
})

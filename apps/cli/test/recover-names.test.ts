/**
 * Recovery is proved by recover.test.ts and recover-keys.test.ts; here the names of sources in objects.
 *
 * @module-tag long
 */
import { getFile } from '@sealfleet/records/files'
import { openRecords } from '@sealfleet/records'
import { freshDatabase, longTest } from '@sealfleet/testkit'
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openAttempts, type Attempts } from './support/attempts.js'
import { createWorld, type Ran, type World } from './support/world.js'

let world: World
let attempts: Attempts
beforeAll(async () => {
  world = await createWorld()
  expect((await world.sealfleet(['keys', 'init'])).status).toBe(0)
  attempts = await openAttempts(world)
})
afterAll(async () => {
  await attempts[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

interface Line {
  readonly fileId?: string
  readonly source?: { readonly root: string; readonly path: string } | null
  readonly sourceRefused?: string | null
  readonly summary?: Readonly<Record<string, unknown>>
}

const linesOf = (ran: Ran): Line[] =>
  ran.stdout
    .toString()
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as Line)

async function stored(
  names: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<Map<string, string>> {
  for (const name of names) {
    await mkdir(path.dirname(path.join(world.data, name)), { recursive: true })
    await writeFile(path.join(world.data, name), name)
  }
  await using _worker = await world.worker(settings)
  const ran = await world.sealfleet(['enqueue', ...names, '--wait', '--json'])
  expect(ran.status, ran.stderr).toBe(0)
  const { files } = ran.json<{ files: { fileId: string; relativePath: string }[] }>()
  return new Map(files.map(({ relativePath, fileId }) => [relativePath, fileId]))
}

/** All user metadata of a file's only object. */
async function metadataOf(fileId: string): Promise<Readonly<Record<string, string>>> {
  for await (const { key } of attempts.store.list(`default/${fileId}/`))
    return (await attempts.store.head(key)).metadata
  throw new Error('no object')
}

it('names are in no object unless they are wanted there; what is there comes back from a lost database, with re-encrypted files too', async () => {
  const secret = await stored(['secret.txt'], {})
  const plain = await stored(['2026/Rechnung Nr. 1.pdf', '2026/日本.txt'], { SEALFLEET_S3_PATH_METADATA: 'plain' })
  const [hidden = ''] = secret.values()
  expect(Object.keys(await metadataOf(hidden)).sort()).toEqual(['sealfleet-attempt', 'sealfleet-file'])
  expect(JSON.stringify(await metadataOf(hidden))).not.toContain('secret')
  expect(await metadataOf(plain.get('2026/Rechnung Nr. 1.pdf') ?? '')).toMatchObject({
    'sealfleet-source': 'data:2026/Rechnung%20Nr.%201.pdf',
  })

  const hostile = new Map<string, string>()
  const seal = async (metadata: Readonly<Record<string, string>>): Promise<string> => {
    const fileId = randomUUID()
    await attempts.seal({ fileId, content: Buffer.from('x'), attemptNo: 1, metadata })
    return fileId
  }
  hostile.set(await seal({ 'sealfleet-source': 'data:../../etc/passwd' }), 'not a plain relative one')
  hostile.set(await seal({ 'sealfleet-source': 'data:a%00b' }), 'not a plain relative one')
  hostile.set(
    await seal({ 'sealfleet-source': `data:${'x'.repeat(1_990)}`, 'sealfleet-file': hidden }),
    'another object',
  )
  hostile.set(await seal({ 'sealfleet-source': 'recovered:x' }), 'reserved for recovered files')
  const twice = randomUUID()
  for (const [n, claim] of ['data:one', 'data:two'].entries())
    await attempts.seal({
      fileId: twice,
      content: Buffer.from('x'),
      attemptNo: n + 1,
      metadata: { 'sealfleet-source': claim },
    })
  hostile.set(twice, 'name different sources')

  await using database = await freshDatabase()
  const env = { SEALFLEET_DATABASE_URL: database.url, SEALFLEET_REDIS_URL: undefined }
  const ran = await world.sealfleet(['recover', '--json'], { env })
  expect(ran.status, ran.stderr).toBe(0)
  const lines = linesOf(ran)
  expect(lines.at(-1)?.summary).toMatchObject({ recovered: 3 + hostile.size, named: 2, claimsRefused: hostile.size })
  await using records = await openRecords(database.url)
  for (const [name, fileId] of plain)
    expect((await getFile(records, fileId))?.file.source).toEqual({ root: 'data', path: name })
  for (const fileId of [hidden, ...hostile.keys()])
    expect((await getFile(records, fileId))?.file.source).toEqual({ root: 'recovered', path: fileId })
  for (const [fileId, why] of hostile)
    expect(lines.find((line) => line.fileId === fileId)).toMatchObject({
      source: null,
      sourceRefused: expect.stringContaining(why) as string,
    })

  // Files with their own sources are known for recovered ones by the next run, which needs no --merge.
  const again = await world.sealfleet(['recover', '--json'], { env })
  expect(linesOf(again).at(-1)?.summary).toMatchObject({ recovered: 0, already: 3 + hostile.size, kept: 0 })
  expect((await world.sealfleet(['verify', 'data:2026/日本.txt'], { env })).status).toBe(0)
})

longTest('a file that is sealed again has its source in the new object, by the setting of that day', async () => {
  const files = await stored(['later.txt'], {})
  const [fileId = ''] = files.values()
  expect((await world.sealfleet(['keys', 'rotate'])).status).toBe(0)
  await using _worker = await world.worker({ SEALFLEET_S3_PATH_METADATA: 'plain' })
  await using _maintenance = await world.maintenance()
  const started = await world.sealfleet(['rekey', '--domain', 'default', '--from', '1', '--wait'])
  expect(started.status, started.stderr).toBe(0)
  await using records = await openRecords(world.databaseUrl)
  const key = (await getFile(records, fileId))?.committed?.objectKey ?? ''
  expect((await attempts.store.head(key)).metadata).toMatchObject({ 'sealfleet-source': 'data:later.txt' })
})

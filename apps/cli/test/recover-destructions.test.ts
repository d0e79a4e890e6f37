/**
 * Recovery is proved by recover.test.ts and recover-keys.test.ts; here what it makes of destructions.
 *
 * @module-tag long
 */
import { listDestructions, listMasterKeys } from '@sealfleet/records/keys'
import { migrate, openRecords } from '@sealfleet/records'
import { freshDatabase, type FreshDatabase, longTest } from '@sealfleet/testkit'
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { enrolOfficers, type Officers } from './support/officers.js'
import { createWorld, type Ran, type World } from './support/world.js'

const LONG = 240_000
const LABEL = 'sealfleet/default/enc/s1/1'

interface Listed {
  readonly destructions: readonly {
    readonly label: string
    readonly state: string
    readonly problems: readonly string[]
    readonly signers: readonly { readonly name: string; readonly operator: string }[]
  }[]
}

let world: World
let officers: Officers
/** A dump of the database from before the destruction was carried out. */
let backup = ''
let lost = ''
let kept = ''
let original: readonly Record<string, unknown>[] = []

const FAST = { SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1' }
const run = (args: readonly string[], env: Record<string, string> = {}): Promise<Ran> =>
  world.inProcess(args, { env: { ...FAST, ...env } })
const ok = async (args: readonly string[], env: Record<string, string> = {}): Promise<Ran> => {
  const ran = await run(args, env)
  expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
  return ran
}

async function sql(text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}
const rows = (url: string) =>
  openRecords(url).then(async (records) => {
    await using open = records
    return (await listDestructions(open)).map(
      ({ id, label, shred, reason, backups, scheduledBy, executeAfter, carriedOutAt, record, mac, storeKey }) =>
        ({
          id,
          label,
          shred,
          reason,
          backups,
          scheduledBy,
          executeAfter,
          carriedOutAt,
          record,
          mac,
          storeKey,
        }) as const,
    )
  })
const enc = async (url: string) => {
  await using records = await openRecords(url)
  return (await listMasterKeys(records, { role: 'enc' })).map(({ version, state }) => `${version} ${state}`)
}

beforeAll(async () => {
  world = await createWorld()
  officers = await enrolOfficers(world, ['ann', 'bob'])
  await ok(['keys', 'init', '--with-audit'])
  await using _worker = await world.worker()
  const seal = async (name: string): Promise<string> => {
    await writeFile(path.join(world.data, name), name)
    const ran = await ok(['enqueue', name, '--wait', '--json'])
    return ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? ''
  }
  lost = await seal('lost')
  await ok(['keys', 'rotate', '--role', 'enc'])
  kept = await seal('kept')
  const key = ['keys', 'destroy', '--role', 'enc', '--version', '1', '--json']
  const why = ['--reason', 'its period is over', '--backups', 'tape 7, burnt', '--wait-days', '0.00001', '--shred']
  const asked = await ok([...key, ...why, '--confirm', 'destroy 1 files of default'])
  const { id } = asked.json<{ request: { id: string } }>().request
  await officers.sign(id)
  await ok([...key, '--request', id])
  backup = execFileSync('pg_dump', ['--dbname', world.databaseUrl, '--no-owner'], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  })
  await sql(`SELECT pg_sleep_until((SELECT execute_after + interval '5 ms' FROM destructions))`)
  await ok([...key, '--carry-out'])
  original = await rows(world.databaseUrl)
}, LONG)
afterAll(() => world?.[Symbol.asyncDispose]())

async function lostDatabase(): Promise<FreshDatabase & { readonly env: Record<string, string> }> {
  const database = await freshDatabase({ schema: 'empty' })
  return { ...database, env: { SEALFLEET_DATABASE_URL: database.url } }
}

/** The file of the destroyed key is not placed, and it is said why; the other is. */
function expectRecovered(ran: Ran): void {
  expect(ran.status).toBe(1)
  const lines = ran.stdout.toString().trim().split('\n')
  const unplaced = lines
    .map((line) => JSON.parse(line) as { fileId?: string; unplaced?: { code: string }[] })
    .flatMap(({ fileId, unplaced: list = [] }) => list.map(({ code }) => [fileId, code]))
  expect(unplaced).toEqual([[lost, 'E_KEY_DESTROYED']])
}

describe('recover after a key was destroyed', () => {
  it(
    'brings the destruction back from its signed copy: DESTROYED, with its record, verified by MAC and signatures',
    async () => {
      await using database = await lostDatabase()
      const { env } = database
      await migrate(database.url)
      const dry = await run(['recover', '--json', '--dry-run'], env)
      expectRecovered(dry)
      expect(await rows(database.url)).toEqual([])
      const recovered = await run(['recover', '--json'], env)
      expectRecovered(recovered)
      expect(recovered.stdout.toString()).toContain(`"destructionId":"${String(original[0]?.['id'])}"`)
      expect(await rows(database.url)).toEqual(original)
      expect(await enc(database.url)).toEqual(['1 DESTROYED', '2 ACTIVE'])
      // Again: nothing is left to do.
      await run(['recover', '--json'], env)
      expect(await rows(database.url)).toEqual(original)

      const list = async () =>
        (await ok(['keys', 'destructions', '--verify', '--json'], env)).json<Listed>().destructions
      expect(await list()).toMatchObject([
        {
          ...{ label: LABEL, state: 'DESTROYED', problems: [] },
          signers: [
            { name: 'ann', operator: 'unknown' },
            { name: 'bob', operator: 'unknown' },
          ],
        },
      ])
      const told = await ok(['keys', 'destructions', '--verify'], env)
      expect(told.stdout.toString()).toContain('the operators were lost\nwith a database')
      for (const name of ['ann', 'bob'])
        await ok(['operators', 'add', name, '--public-key', path.join(world.dir, `${name}.pem.pub`)], env)
      expect((await list())[0]?.signers.map(({ operator }) => operator)).toEqual(['enrolled', 'enrolled'])

      const restored = await run(['restore', kept, '-o', path.join(world.dir, 'kept'), '--json'], env)
      expect(restored.status, restored.stderr).toBe(0)
      await ok(['keys', 'check'], env)
      await ok(['audit', 'verify', '--json'], env)
      // The number is never used again.
      expect((await ok(['keys', 'rotate', '--role', 'enc', '--dry-run', '--json'], env)).stdout.toString()).toContain(
        'enc/s1/3',
      )
    },
    LONG,
  )

  longTest(
    'into a backup from before it was carried out: the key is DESTROYED there too, and its file E_KEY_DESTROYED',
    { timeout: LONG },
    async () => {
      await using database = await lostDatabase()
      const { env } = database
      execFileSync('psql', ['--dbname', database.url, '--quiet', '-v', 'ON_ERROR_STOP=1'], {
        input: backup,
        stdio: ['pipe', 'ignore', 'pipe'],
      })
      expect(await enc(database.url)).toEqual(['1 DESTROY_SCHEDULED', '2 ACTIVE'])
      const merged = await run(['recover', '--merge', '--json'], env)
      expect(merged.status, merged.stderr + merged.stdout.toString()).toBe(0)
      expect(await enc(database.url)).toEqual(['1 DESTROYED', '2 ACTIVE'])
      const restored = await run(['restore', lost, '-o', path.join(world.dir, 'lost'), '--json'], env)
      expect([restored.status, restored.json<{ error: { code: string } }>().error.code]).toEqual([5, 'E_KEY_DESTROYED'])
      const { destructions } = (await ok(['keys', 'destructions', '--verify', '--json'], env)).json<Listed>()
      expect(destructions).toMatchObject([{ label: LABEL, state: 'DESTROYED', problems: [] }])
      await ok(['audit', 'verify'], env)
    },
  )
})

/**
 * The end of a key is proved by keys-destroy.test.ts; here that of a KEK, on a whole fleet.
 *
 * @module-tag long
 */
import { openKeyAdmin } from '@sealfleet/hsm'
import { kekWraps, listDestructions, listMasterKeys } from '@sealfleet/records/keys'
import { openRecords } from '@sealfleet/records'
import { readDestructionCopy } from '@sealfleet/keys'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { enrolOfficers, type Officers } from './support/officers.js'
import { openBucket } from './support/thief.js'
import { createWorld, type Ran, type World } from './support/world.js'

/** Writes down every call of the module below it: of opensc. */
const SPY = '/usr/lib/x86_64-linux-gnu/pkcs11-spy.so'
const LONG = 240_000
const FILES = 2

interface Needs {
  readonly lost: number
  readonly database: { readonly attempts: number; readonly committed: number }
  readonly first: readonly { readonly fileId: string }[]
}
interface Reply {
  readonly error?: { readonly code: string }
  readonly needs?: Needs
  readonly request?: { readonly id: string }
}

let world: World
let officers: Officers
let domain = ''
const contents = new Map<string, Buffer>()

const ok = async (...args: string[]): Promise<Ran> => {
  const ran = await world.inProcess(args)
  expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
  return ran
}
const WHY = ['--reason', 'its period is over', '--backups', 'none', '--wait-days', '0.0001']
const named = (version: number): string[] => [
  ...['keys', 'destroy', '--domain', 'vault', '--role', 'kek', '--version', String(version), '--json'],
]
const destroy = (version: number, args: readonly string[]): Promise<Ran> =>
  world.inProcess([...named(version), ...args], { env: { SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1' } })
const codeOf = (ran: Ran): string | undefined => ran.json<Reply>().error?.code

beforeAll(async () => {
  world = await createWorld()
  officers = await enrolOfficers(world, ['ann', 'bob'])
  await ok('keys', 'init', '--with-audit')
  await ok('domains', 'add', 'vault', '--nonces', 'detached', '--accept-loss-with-database')
  await ok('keys', 'init', '--domain', 'vault')
  const listed = (await ok('domains', 'list', '--json')).json<{ domains: { id: string; name: string }[] }>()
  domain = listed.domains.find(({ name }) => name === 'vault')?.id ?? ''
  await using _worker = await world.worker()
  const names = Array.from({ length: FILES }, (_, i) => `f${i}`)
  for (const [i, name] of names.entries()) await writeFile(path.join(world.data, name), randomBytes(1 + 1_000 * i))
  const ran = await ok('enqueue', ...names, '--domain', 'vault', '--wait', '--json')
  for (const { fileId, relativePath } of ran.json<{ files: { fileId: string; relativePath: string }[] }>().files)
    contents.set(fileId, await readFile(path.join(world.data, relativePath)))
  await ok('keys', 'rotate', '--domain', 'vault', '--role', 'kek')
}, LONG)
afterAll(() => world?.[Symbol.asyncDispose]())

/** Asks, has both officers sign, schedules and waits until it is due. */
async function schedule(version: number, ...args: string[]): Promise<void> {
  const asked = await destroy(version, [...WHY, ...args])
  expect(asked.status, asked.stderr + asked.stdout.toString()).toBe(0)
  const id = asked.json<Reply>().request?.id ?? ''
  await officers.sign(id)
  const scheduled = await destroy(version, ['--request', id])
  expect(scheduled.status, scheduled.stderr).toBe(0)
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  await client.query(`SELECT pg_sleep_until((SELECT max(execute_after) + interval '5 ms' FROM destructions))`)
  await client.end()
}

async function restored(id: string): Promise<Ran & { readonly bytes: Buffer | undefined }> {
  const out = path.join(world.dir, `out-${randomBytes(6).toString('hex')}`)
  const ran = await world.inProcess(['restore', id, '-o', out, '--json'])
  return { ...ran, bytes: ran.status === 0 ? await readFile(out) : undefined }
}
async function expectAllReadable(): Promise<void> {
  for (const [id, content] of contents) expect((await restored(id)).bytes?.equals(content)).toBe(true)
}

/** How many calls of the module destroyed something. */
function destroyedObjects(calls: string): number {
  return [...calls.matchAll(/^\d+: C_DestroyObject$/gm)].length
}

describe('destroying a version of a KEK', () => {
  it(
    'is refused while nonces are wrapped by it, and names their files; rewrap frees it',
    { timeout: LONG },
    async () => {
      const refused = await destroy(1, WHY)
      expect([refused.status, codeOf(refused)]).toEqual([1, 'STILL_REFERENCED'])
      const { needs } = refused.json<Reply>()
      expect(needs).toMatchObject({ lost: FILES, database: { attempts: FILES, committed: FILES } })
      expect(needs?.first.map(({ fileId }) => fileId).sort()).toEqual([...contents.keys()].sort())

      await ok('rewrap', '--domain', 'vault')
      const dry = await destroy(1, [...WHY, '--dry-run'])
      // Their headers name it forever; the records say that it wraps nothing any more.
      expect(dry.json()).toMatchObject({
        refusal: null,
        needs: { lost: 0, database: { attempts: 0 }, store: { objects: FILES, beyondRecords: 0 } },
      })
    },
  )

  it(
    'goes by C_DestroyObject, proved by a search that finds nothing and an unwrapping that fails; every file opens',
    { timeout: LONG },
    async () => {
      await schedule(1)
      await expectAllReadable()
      const output = path.join(world.dir, 'calls')
      const { SEALFLEET_PKCS11_MODULE: module = '' } = world.env
      const config = path.join(world.dir, 'spied.env')
      const spied = { SEALFLEET_PKCS11_MODULE: SPY, PKCS11SPY: module, PKCS11SPY_OUTPUT: output }
      const lines = Object.entries({ ...world.env, ...spied }).filter(([name]) =>
        /^(SEALFLEET|SOFTHSM2|PKCS11SPY)/.test(name),
      )
      await writeFile(config, lines.map(([name, value]) => `${name}='${value}'\n`).join(''), { mode: 0o600 })
      const none = Object.fromEntries(lines.map(([name]) => [name, undefined]))
      const done = await world.sealfleet([...named(1), '--carry-out', '--config', config], { env: none })
      expect(done.status, done.stderr + done.stdout.toString()).toBe(0)
      expect(destroyedObjects(await readFile(output, 'latin1'))).toBe(1)

      await using admin = await openKeyAdmin({
        module,
        token: world.env['SEALFLEET_PKCS11_TOKEN'] ?? '',
        pin: { kind: 'value', value: Buffer.from(world.env['SEALFLEET_PKCS11_PIN'] ?? '') },
        env: { SOFTHSM2_CONF: world.env['SOFTHSM2_CONF'] ?? '' },
      })
      const labels = (await admin.list()).map(({ label }) => label)
      expect(labels).not.toContain(`sealfleet/${domain}/kek/1`)
      expect(labels).toContain(`sealfleet/${domain}/kek/2`)
      await using records = await openRecords(world.databaseUrl)
      const [row] = await listMasterKeys(records, { domain, role: 'kek' })
      expect(row?.state).toBe('DESTROYED')
      await expect(admin.checkKekRecord({ domain, version: 1 }, row?.checkRecord ?? Buffer.of())).rejects.toMatchObject(
        { code: 'E_KEY_UNKNOWN' },
      )
      const [destruction] = await listDestructions(records, { keyId: row?.id })
      expect(JSON.parse(String(destruction?.record))).toMatchObject({
        key: { role: 'kek', checkValue: null },
        tokens: [{ was: 'destroyed', find: 0, derivation: 'E_KEY_UNKNOWN' }],
        shred: false,
        references: { lost: 0 },
      })
      using store = await openBucket(world.env)
      expect(await readDestructionCopy(store, destruction?.storeKey ?? '')).toBeDefined()
      await expectAllReadable()
      await ok('verify', '--all')
      await ok('keys', 'destructions', '--verify')
      await ok('keys', 'check')
      expect((await kekWraps(records, domain)).map(({ version, wrapped, state }) => [version, wrapped, state])).toEqual(
        [
          [1, 0, 'DESTROYED'],
          [2, FILES, 'ACTIVE'],
        ],
      )
    },
  )

  longTest(
    'with --shred: the files are E_KEY_DESTROYED at once, for anyone who reads, verifies or wraps again; others stay',
    { timeout: LONG },
    async () => {
      await writeFile(path.join(world.data, 'kept'), 'kept')
      await ok('keys', 'rotate', '--domain', 'vault', '--role', 'kek')
      await using worker = await world.worker()
      const ran = await ok('enqueue', 'kept', '--domain', 'vault', '--wait', '--json')
      const kept = ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? ''
      await schedule(2, '--shred', '--confirm', `destroy ${FILES} files of vault`)
      await expectAllReadable()
      const done = await destroy(2, ['--carry-out'])
      expect(done.status, done.stderr + done.stdout.toString()).toBe(0)
      for (const id of contents.keys()) {
        const ran = await restored(id)
        expect([ran.status, codeOf(ran)]).toEqual([5, 'E_KEY_DESTROYED'])
        const verified = await world.inProcess(['verify', id, '--json'])
        expect([verified.status, verified.stdout.toString()]).toEqual([5, expect.stringContaining('E_KEY_DESTROYED')])
      }
      expect((await restored(kept)).bytes?.toString()).toBe('kept')
      const rewrapped = await world.inProcess(['rewrap', '--domain', 'vault', '--json'])
      expect(rewrapped.status).toBe(5)
      expect(rewrapped.json<{ failed: { error: { code: string } }[] }>().failed.map(({ error }) => error.code)).toEqual(
        Array.from(contents, () => 'E_KEY_DESTROYED'),
      )
      // What was given up is nothing that scrubbing finds again and again.
      expect((await ok('maintenance', 'run', 'scrub', '--json')).json()).toMatchObject({
        pass: { objects: 1, failed: 0 },
      })
      await ok('audit', 'verify')
      // The worker that ran all the while seals on.
      await writeFile(path.join(world.data, 'after'), 'after')
      await ok('enqueue', 'after', '--domain', 'vault', '--wait')
      await worker[Symbol.asyncDispose]()
    },
  )
})

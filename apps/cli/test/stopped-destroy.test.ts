import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { addOperator, addSignature, getRequest, rawPublicKey, signedBytes } from '@sealfleet/records/operators'
import { openRecords } from '@sealfleet/records'
import { startFaultProxy, type FaultProxy } from '@sealfleet/testkit'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from './support/life.js'
import { HeldTable, Stoppable } from './support/stopping.js'
import { onTerminal } from './support/terminal.js'
import { createWorld, type Ran, type World } from './support/world.js'

const WHY = ['--reason', 'the period is over', '--backups', 'none']
const KEY = ['--role', 'enc', '--version', '1']
const SOON = ['--wait-days', String(1 / 86_400)]

let world: World
let proxy: FaultProxy
const officers: { readonly name: string; readonly privateKey: KeyObject }[] = []

beforeAll(async () => {
  world = await createWorld()
  proxy = await startFaultProxy(world.env['SEALFLEET_S3_ENDPOINT'] ?? '')
  for (const args of [['init', '--with-audit'], ['rotate']])
    expect((await world.sealfleet(['keys', ...args])).status).toBe(0)
  await using records = await openRecords(world.databaseUrl)
  for (const name of ['ann', 'bob']) {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const person = { name, role: 'officer', publicKey: rawPublicKey(publicKey), enrolledBy: 'test' } as const
    officers.push({ name, privateKey })
    await records.transaction((tx) => addOperator(tx, person))
  }
  // What a scan of headers stands still at, when the proxy is told to.
  const s3 = new S3Client({
    endpoint: world.env['SEALFLEET_S3_ENDPOINT'] ?? '',
    region: world.env['SEALFLEET_S3_REGION'] ?? '',
    forcePathStyle: true,
    credentials: {
      accessKeyId: world.env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: world.env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
    },
  })
  await s3.send(
    new PutObjectCommand({ Bucket: world.env['SEALFLEET_S3_BUCKET'], Key: 'default/x', Body: Buffer.alloc(500) }),
  )
  s3.destroy()
})
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

const env = () => ({ SEALFLEET_S3_ENDPOINT: proxy.endpoint, SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1' })
const args = (...more: string[]): string[] => ['keys', 'destroy', ...KEY, ...more]
const destroy = (...more: string[]): Promise<Ran> => world.sealfleet(args(...more, '--json'), { env: env() })
const stopped = ({ status, signal }: Ran) => [status, signal]

async function sql<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

async function signAll(id: string): Promise<void> {
  await using records = await openRecords(world.databaseUrl)
  const body = (await getRequest(records, id))?.body ?? Buffer.of()
  for (const { name, privateKey } of officers)
    await addSignature(records, { requestId: id, operator: name, signature: sign(null, signedBytes(body), privateKey) })
}

/** Runs it until it asks for the one object's header, which does not come; stops it there. */
async function stoppedWhileReading(...more: string[]): Promise<Ran> {
  proxy.reset()
  proxy.inject('GetObject', { kind: 'silence' }, { when: (seen) => seen.path.endsWith('/default/x') })
  const command = new Stoppable(world.start(args(...more), { env: env() }))
  await until(
    () => Promise.resolve(proxy.seen.some((seen) => seen.path.endsWith('/default/x'))),
    () => 'no header is asked for',
  )
  command.kill('SIGINT')
  const ran = await command.ended
  proxy.reset()
  expect(stopped(ran)).toEqual([null, 'SIGINT'])
  return ran
}

const keyState = async () =>
  (await sql<{ state: string }>(`SELECT state::text FROM master_keys WHERE role = 'ENC' AND version = 1`))[0]?.state

describe('sealfleet keys destroy that is stopped', { timeout: 240_000, tags: ['long'] }, () => {
  let request = ''

  it('while it counts: no request is made', async () => {
    const ran = await stoppedWhileReading(...WHY, ...SOON)
    expect(ran.stderr).toContain('no request made')
    expect(await sql('SELECT id FROM requests')).toEqual([])
    const asked = await destroy(...WHY, ...SOON)
    expect(asked.status, asked.stderr).toBe(0)
    request = asked.json<{ request: { id: string } }>().request.id
  })

  it('while it schedules: the signed request is not used up, and the same command uses it', async () => {
    await signAll(request)
    const ran = await stoppedWhileReading('--request', request)
    expect(ran.stderr).toContain(`request ${request} is as it was`)
    expect([await keyState(), await sql('SELECT id FROM destructions')]).toEqual(['DECRYPT_ONLY', []])
    const again = await destroy('--request', request)
    expect(again.status, again.stdout.toString()).toBe(0)
  })

  it('before tokens are told: the key is as it was, and still scheduled', async () => {
    await sql(`SELECT pg_sleep_until((SELECT execute_after + interval '5 ms' FROM destructions))`)
    const ran = await stoppedWhileReading('--carry-out')
    expect(ran.stderr).toContain('its destruction still scheduled')
    expect(await keyState()).toBe('DESTROY_SCHEDULED')
    expect(await sql('SELECT begun_at, last_refusal FROM destructions')).toEqual([
      { begun_at: null, last_refusal: null },
    ])
  })

  it('twice, when tokens have been told: the next call finds it gone, proves that and signs the record', async () => {
    await using held = await HeldTable.hold(world.databaseUrl, 'audit_log')
    const command = new Stoppable(world.start(args('--carry-out'), { env: env() }))
    await held.awaited('INSERT INTO audit_log')
    await command.stopLater('SIGINT')
    command.kill('SIGINT')
    expect(stopped(await command.ended)).toEqual([null, 'SIGINT'])
    await held.release()
    expect((await sql<{ begun: boolean }>('SELECT begun_at IS NOT NULL AS begun FROM destructions'))[0]?.begun).toBe(
      true,
    )
    expect(await keyState()).toBe('DESTROY_SCHEDULED')
  })

  it('once, when tokens have been told: it is carried out to its end, and maintenance makes the copy', async () => {
    await using held = await HeldTable.hold(world.databaseUrl, 'audit_log')
    const command = new Stoppable(world.start(args('--carry-out', '--json'), { env: env() }))
    await held.awaited('INSERT INTO audit_log')
    await command.stopLater('SIGTERM')
    await held.release()
    const ran = await command.ended
    expect(stopped(ran)).toEqual([null, 'SIGTERM'])
    expect(ran.json()).toMatchObject({ state: 'DESTROYED', copied: false, error: { code: 'CANCELLED' } })
    expect(ran.json<{ error: { fix: string } }>().error.fix).toContain('maintenance puts it there')
    expect(await keyState()).toBe('DESTROYED')
    await using _house = await world.maintenance()
    await until(
      async () => (await world.sealfleet(['keys', 'destructions', '--verify', '--json'])).status === 0,
      () => 'the copy did not come',
    )
  })

  it('while someone is asked to type what will be lost: nothing is made; what they type decides', async () => {
    await writeFile(path.join(world.data, 'kept'), 'kept')
    {
      await using _worker = await world.worker()
      expect((await world.sealfleet(['enqueue', 'kept', '--wait'])).status).toBe(0)
    }
    expect((await world.sealfleet(['keys', 'rotate'])).status).toBe(0)
    const ask = 'keys destroy --role enc --version 2 --reason over --backups none --shred'
    const prompt = /Type "destroy 1 files of default" to continue: $/
    const requests = async () => (await sql<{ n: number }>(`SELECT count(*)::int AS n FROM requests`))[0]?.n
    const before = await requests()
    // Ctrl-C as a terminal sends it: to every process in front, the HSM's among them.
    const cut = await onTerminal(world, ask, [[prompt, '\u0003']])
    expect(cut).toContain('stopped by SIGINT')
    expect(cut).toContain('no request made')
    expect(await onTerminal(world, ask, [[prompt, 'yes\r']])).toContain('the answer did not match')
    expect(await requests()).toBe(before)
    expect(await onTerminal(world, ask, [[prompt, 'destroy 1 files of default\r']])).toContain('2 more signatures')
    expect(await requests()).toBe((before ?? 0) + 1)
  })
})

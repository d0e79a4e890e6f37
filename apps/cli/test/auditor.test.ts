import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'

import { every, matrix } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createAuditor, auditBlock, sql, type Auditor } from './support/auditor.js'
import { enrolOfficers } from './support/officers.js'
import { createWorld, type Ran, type World } from './support/world.js'

const documented = (await auditBlock('sh', 'npx sealfleet verify --all')).trim().split(/\s*\n\s*/)

let world: World
let auditor: Auditor
let fileId = ''
let object = ''
let eve = ''

beforeAll(async () => {
  world = await createWorld()
  await done('keys', 'init', '--with-audit')
  const officers = await enrolOfficers(world, ['ann', 'bob'])
  await done('keys', 'rotate', '--role', 'enc')
  await destroyFirst((id) => officers.sign(id))
  {
    await using _worker = await world.worker()
    await writeFile(path.join(world.data, 'a'), randomBytes(70_000))
    const ran = await done('enqueue', 'a', '--wait', '--json')
    fileId = ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? ''
  }
  const { bucket, key } = (await done('status', fileId, '--json')).json<{ object: { bucket: string; key: string } }>()
    .object
  object = `s3://${bucket}/${key}`
  // Transactions of other databases on this server hold rows of the log back for a while.
  for (let signed = false; !signed;)
    signed = /^\d+:/.test((await world.inProcess(['maintenance', 'run', 'audit-checkpoint'])).stdout.toString())
  const made = await done('operators', 'keygen', '-o', path.join(world.dir, 'eve.pem'), '--no-passphrase', '--json')
  eve = path.join(world.dir, 'eve.pub')
  await writeFile(eve, made.json<{ publicKey: string }>().publicKey)
  auditor = await createAuditor(world, ['sealfleet/default/enc/s1/2'])
}, 300_000)
afterAll(async () => {
  try {
    await auditor?.[Symbol.asyncDispose]()
  } finally {
    await world?.[Symbol.asyncDispose]()
  }
}, 240_000)

async function done(...args: readonly string[]): Promise<Ran> {
  const ran = await world.inProcess(args, { env: { SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1' } })
  expect(ran.status, args.join(' ') + ran.stderr + ran.stdout.toString()).toBe(0)
  return ran
}

/** Version 1 of the encryption master, which no file needs: there is a record of a destruction to verify. */
async function destroyFirst(sign: (id: string) => Promise<void>): Promise<void> {
  const destroy = ['keys', 'destroy', '--role', 'enc', '--version', '1', '--json']
  const why = ['--reason', 'the period is over', '--backups', 'none', '--wait-days', String(1 / 86_400)]
  const { request } = (await done(...destroy, ...why)).json<{ request: { id: string } }>()
  await sign(request.id)
  await done(...destroy, '--request', request.id)
  await sql(world.databaseUrl, `SELECT pg_sleep_until((SELECT execute_after + interval '5 ms' FROM destructions))`)
  await done(...destroy, '--carry-out')
}

/** All rows of what a command could have written to. */
const written = () =>
  sql(
    world.databaseUrl,
    `SELECT (SELECT count(*) FROM audit_log) AS log, (SELECT count(*) FROM audit_checkpoints) AS signed,
      (SELECT count(*) FROM scrubs) AS scrubs, (SELECT count(*) FROM holds) AS holds, (SELECT count(*) FROM requests) AS requests,
      (SELECT json_agg(l ORDER BY l.pin_id) FROM hsm_latches l)::text AS lockouts, (SELECT json_agg(f)::text FROM files f) AS files`,
  )

interface Finding {
  readonly check: string
  readonly state: string
  readonly code?: string
  readonly detail: string
  readonly fix?: string
}

describe('an auditor, set up as docs/operate/audit.md says', { timeout: 120_000 }, () => {
  it('may read every table of the records and write to none', async () => {
    const rights = await sql(
      world.databaseUrl,
      `SELECT c.relname AS name, has_table_privilege('${auditor.role}', c.oid, 'SELECT') AS reads,
        has_table_privilege('${auditor.role}', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writes
       FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v') AND c.relnamespace = 'public'::regnamespace`,
    )
    expect(rights.length).toBeGreaterThan(20)
    expect(rights.filter(({ reads, writes }) => reads !== true || writes !== false)).toEqual([])
  })

  matrix(documented, every(3))('`%s` ends with 0 and writes nothing', async (line) => {
    const words = line
      .replaceAll('s3://BUCKET/KEY', object)
      .replaceAll(/\bID\b/g, fileId)
      .split(' ')
    const [npx, sealfleet, ...args] = words
    expect([npx, sealfleet]).toEqual(['npx', 'sealfleet'])
    const [before, tried] = [await written(), auditor.writes().length]
    const ran = await auditor.inProcess(args)
    expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
    expect(await written()).toEqual(before)
    expect(auditor.writes().length).toBe(tried)
  })

  it('verifies what is there: the file, the log, and the destruction', async () => {
    expect((await auditor.run('verify', fileId, '--json')).json()).toMatchObject({ fileId, verified: true })
    const log = await auditor.run('audit', 'verify', '--json')
    expect(log.json()).toMatchObject({ found: 0, files: 1, checkpoints: expect.any(Number) as number })
    const { destructions } = (await auditor.run('keys', 'destructions', '--verify', '--json')).json<{
      destructions: object[]
    }>()
    expect(destructions).toMatchObject([
      { state: 'DESTROYED', problems: [], signers: [{ name: 'ann' }, { name: 'bob' }] },
    ])
  })

  it('opens nothing', async () => {
    const out = ['-o', path.join(world.dir, 'out'), '--json']
    for (const args of [
      ['restore', fileId, ...out],
      ['object', 'open', object, '--context-unchecked', ...out],
    ]) {
      const ran = await auditor.run(...args)
      expect([ran.status, ran.json<{ error: { code: string } }>().error.code]).toEqual([5, 'E_KEY_UNKNOWN'])
    }
  })

  it('has a wrong PIN refused, which locks no one out, and goes on with the right one', async () => {
    const before = await written()
    const verify = ['verify', fileId, '--json']
    const refused = await auditor.inProcess(verify, { SEALFLEET_PKCS11_PIN: 'not-the-pin' })
    expect(refused.json<{ error: { code: string } }>().error.code).toBe('HSM_ACCESS_DENIED')
    expect((await auditor.inProcess(verify)).status).toBe(0)
    expect(await written()).toEqual(before)
  })

  it('is told by `keys check` that encryption masters alone are missing', async () => {
    const ran = await auditor.run('keys', 'check', '--json')
    expect(ran.status).toBe(5)
    const { keys } = ran.json<{ keys: { label: string; outcome: string }[] }>()
    expect(keys.filter(({ outcome }) => outcome === 'missing')).toMatchObject([{ label: 'sealfleet/default/enc/s1/2' }])
    expect(keys.map(({ outcome }) => outcome)).not.toContain('mismatch')
  })

  it.each([[['doctor']], [['doctor', 'hsm']]])(
    'gets from %j a code and a fix for whatever is not theirs',
    async (args) => {
      const before = await written()
      const ran = await auditor.run(...args, '--json')
      const { findings } = ran.json<{ findings: Finding[] }>()
      const sig = findings.find(({ check }) => check.includes('sealfleet/default/sig/s1/1'))
      expect(sig, ran.stdout.toString()).toMatchObject({ state: 'ok' })
      for (const { state, code, detail, fix } of findings) {
        expect(detail).not.toContain('permission denied')
        if (state === 'failed')
          expect([code, fix], detail).toEqual([expect.stringMatching(/^[A-Z0-9_]+$/), expect.any(String)])
      }
      expect(await written()).toEqual(before)
    },
  )

  it.each([
    ['removing', ['rm', 'ID', '--reason', 'x', '--yes'], 'DB_ACCESS_DENIED', /lacks a right: UPDATE on table \w+/],
    ['scrubbing', ['maintenance', 'run', 'scrub'], 'DB_ACCESS_DENIED', /INSERT on table audit_log/],
    [
      'placing a hold',
      ['holds', 'place', '--file', 'ID', '--reason', 'x'],
      'DB_ACCESS_DENIED',
      /lacks a right: \w+ on table/,
    ],
    ['signing', ['maintenance', 'run', 'audit-checkpoint'], 'S3_ACCESS_DENIED', /./],
    ['adopting', ['audit', 'adopt', '--reason', 'x'], 'BAD_STATE', /not behind/],
    ['enrolling', ['operators', 'add', 'eve', '--public-key', 'eve.pub'], 'DB_ACCESS_DENIED', /lacks a right/],
    ['resetting a PIN lockout', ['doctor', 'pin', 'reset', '0', '--reason', 'x'], 'NOT_FOUND', /./],
    ['rotating', ['keys', 'rotate', '--role', 'sig'], 'DB_ACCESS_DENIED', /lacks a right/],
  ])('is refused %s, with the right that is missing and what to do', async (_what, args, code, message) => {
    const before = await written()
    const words = args.map((word) => word.replace('ID', fileId).replace('eve.pub', eve))
    const ran = await auditor.inProcess([...words, '--json'])
    expect(ran.status, ran.stdout.toString()).not.toBe(0)
    const { error } = ran.json<{ error: { code: string; message: string; fix: string } }>()
    expect(error).toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
      fix: expect.any(String) as string,
    })
    expect(error.message + error.fix).not.toContain('permission denied')
    if (code === 'DB_ACCESS_DENIED') expect(error.fix).toContain('the fleet’s own user')
    expect(await written()).toEqual(before)
  })

  it('has made no key in the token while it was refused', async () => {
    const { unrecorded } = (await auditor.inProcess(['keys', 'check', '--json'])).json<{ unrecorded: string[] }>()
    expect(unrecorded).toEqual([])
  })
})

import { longTest } from '@sealfleet/testkit'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { openRecords } from '@sealfleet/records'
import { searchAudit } from '@sealfleet/records/audit'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createWorld, type World } from './support/world.js'

const execute = promisify(execFile)
const SPY = '/usr/lib/x86_64-linux-gnu/pkcs11-spy.so'

interface Verified {
  readonly found: number
  readonly findings: readonly { readonly code: string; readonly kind: string }[]
  readonly head: { readonly no: number; readonly sha256: string } | null
}

let world: World
let fileIds: readonly string[]
beforeAll(async () => {
  world = await createWorld()
  await world.sealfleet(['keys', 'init', '--with-audit'])
  await using _worker = await world.worker()
  for (const name of ['a', 'b', 'c']) await writeFile(path.join(world.data, name), randomBytes(100_000))
  const ran = await world.sealfleet(['enqueue', '.', '--wait', '--json'])
  fileIds = ran.json<{ files: { fileId: string }[] }>().files.map(({ fileId }) => fileId)
})
afterAll(() => world?.[Symbol.asyncDispose]())

/** Transactions of other databases on the same server hold the chain back while they last. */
async function checkpoint(): Promise<string> {
  let line = ''
  await expect
    .poll(
      async () => {
        const ran = await world.inProcess(['maintenance', 'run', 'audit-checkpoint'])
        expect(ran.status, ran.stderr).toBe(0)
        if (/^\d+:/.test(ran.stdout.toString())) line = ran.stdout.toString().trim()
        return ran.stderr.includes('wait for open transactions')
      },
      { timeout: 60_000 },
    )
    .toBe(false)
  return line
}

const tamper = async (statement: string): Promise<void> => {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    await client.query('SET session_replication_role = replica')
    await client.query(statement)
  } finally {
    await client.end()
  }
}

describe('sealfleet audit', () => {
  it('chains and signs, verifies with an anchor, and lists every commit', async () => {
    const line = await checkpoint()
    expect(line).toMatch(/^\d+:[0-9a-f]{64}$/)
    const anchor = path.join(world.dir, 'anchor.json')
    const ran = await world.inProcess(['audit', 'verify', '--anchor', anchor, '--expect', line, '--json'])
    expect(ran.status, ran.stdout.toString()).toBe(0)
    expect(ran.json<Verified>()).toMatchObject({ found: 0, files: 3, events: 3 })
    const [no, sha256] = line.split(':')
    expect(JSON.parse(await readFile(anchor, 'utf8'))).toMatchObject({ v: 1, no: Number(no), sha256 })
    const log = await world.inProcess(['audit', 'log', '--action', 'file.', '--since', '1h', '--json'])
    const rows = log.stdout
      .toString()
      .trim()
      .split('\n')
      .map((row) => JSON.parse(row) as { subjectId: string })
    expect(rows.map(({ subjectId }) => subjectId).sort()).toEqual([...fileIds].sort())
  })

  it('takes nothing for an anchor that is none, and says so before it looks at anything', async () => {
    const file = path.join(world.dir, 'no-anchor')
    await writeFile(file, '{"v":2}')
    for (const wrong of [
      ['--anchor', file],
      ['--expect', '1:abc'],
      ['--expect', 'x'],
    ])
      expect((await world.inProcess(['audit', 'verify', ...wrong])).status).toBe(2)
    expect((await world.inProcess(['audit', 'log', '--since', 'yesterday-ish'])).status).toBe(2)
    expect((await world.inProcess(['audit', 'adopt'])).status).toBe(2)
    expect(await readFile(file, 'utf8')).toBe('{"v":2}')
  })

  it('has nothing to adopt while the database is not behind, and a dry run changes nothing', async () => {
    const adopt = await world.inProcess(['audit', 'adopt', '--reason', 'x', '--json'])
    expect(adopt.json()).toMatchObject({ error: { code: 'BAD_STATE' } })
    await using records = await openRecords(world.databaseUrl)
    const before = await searchAudit(records, { limit: 1_000 })
    for (const verb of [
      ['maintenance', 'run', 'audit-checkpoint'],
      ['maintenance', 'run', 'scrub'],
    ])
      expect((await world.inProcess([...verb, '--dry-run', '--json'])).json()).toMatchObject({ dryRun: true })
    expect(await searchAudit(records, { limit: 1_000 })).toEqual(before)
  })

  longTest('gives the request for an adoption as other verbs do', async () => {
    await checkpoint()
    const adopt = ['audit', 'adopt', '--reason', 'put back', '--json']
    await tamper('CREATE TABLE kept AS SELECT * FROM audit_checkpoints')
    await tamper('DELETE FROM audit_checkpoints')
    expect((await world.inProcess([...adopt, '--dry-run'])).json()).toMatchObject({ dryRun: true, request: null })
    const { request, dryRun } = (await world.inProcess(adopt)).json<{ request: { id: string }; dryRun: boolean }>()
    expect([request, dryRun]).toMatchObject([
      { kind: 'audit.adopt', state: 'OPEN', missing: 2, id: expect.any(String) as string },
      false,
    ])
    expect((await world.inProcess(['requests', 'show', request.id, '--json'])).json()).toMatchObject({
      request: { id: request.id },
    })
    await tamper('INSERT INTO audit_checkpoints SELECT * FROM kept')
    await tamper('DROP TABLE kept')
  })

  it('ends with status 3 when something was changed, and leaves the anchor as it was', async () => {
    const anchor = path.join(world.dir, 'kept.json')
    await checkpoint()
    await world.inProcess(['audit', 'verify', '--anchor', anchor])
    const kept = await readFile(anchor)
    await tamper(`UPDATE audit_log SET actor = actor || 'x' WHERE id = (SELECT min(id) FROM audit_log)`)
    const ran = await world.inProcess(['audit', 'verify', '--anchor', anchor, '--json'])
    expect(ran.status).toBe(3)
    expect(ran.json<Verified>().findings).toMatchObject([{ code: 'AUDIT_BROKEN', kind: 'row-changed' }])
    await tamper(`UPDATE audit_log SET actor = left(actor, -1) WHERE id = (SELECT min(id) FROM audit_log)`)
    expect(await readFile(anchor)).toEqual(kept)
    expect((await world.inProcess(['audit', 'verify', '--anchor', anchor])).status).toBe(0)
  })
})

/** Values of attributes in the log of calls, as text: labels among them. They stand there as hexadecimal words of four bytes. */
function attributesIn(calls: string): string {
  const lines = calls.matchAll(/^\s+((?:[0-9A-F]{8} )*[0-9A-F]{2,8})$/gm)
  return [...lines].map(([, hex = '']) => Buffer.from(hex.replaceAll(' ', ''), 'hex').toString('latin1')).join('\n')
}

describe('an auditor whose token has no encryption master', () => {
  it('verifies every inline file and opens none; no call ever looks for an encryption master', async () => {
    const dir = path.join(world.dir, 'auditor')
    const original = path.dirname(world.env['SOFTHSM2_CONF'] ?? '')
    await mkdir(dir)
    await cp(path.join(original, 'tokens'), path.join(dir, 'tokens'), { recursive: true })
    const conf = path.join(dir, 'softhsm2.conf')
    await writeFile(conf, `directories.tokendir = ${path.join(dir, 'tokens')}\nobjectstore.backend = file\n`)
    const {
      SEALFLEET_PKCS11_MODULE: module = '',
      SEALFLEET_PKCS11_TOKEN: label = '',
      SEALFLEET_PKCS11_PIN: pin = '',
    } = world.env
    const tool = (...args: string[]) =>
      execute('pkcs11-tool', ['--module', module, '--token-label', label, '--login', '--pin', pin, ...args], {
        env: { ...process.env, SOFTHSM2_CONF: conf },
      })
    await tool('--delete-object', '--type', 'secrkey', '--label', 'sealfleet/default/enc/s1/1')
    expect((await tool('--list-objects')).stdout).not.toContain('/enc/')

    const output = path.join(dir, 'calls')
    const auditor = {
      SOFTHSM2_CONF: conf,
      SEALFLEET_PKCS11_MODULE: SPY,
      PKCS11SPY: module,
      PKCS11SPY_OUTPUT: output,
    }
    const config = path.join(dir, 'env')
    const lines = Object.entries({ ...world.env, ...auditor }).filter(([name]) =>
      /^(SEALFLEET|SOFTHSM2|PKCS11SPY)/.test(name),
    )
    await writeFile(config, lines.map(([name, value]) => `${name}='${value}'\n`).join(''), { mode: 0o600 })
    const none = Object.fromEntries(lines.map(([name]) => [name, undefined]))
    const verified = await world.sealfleet(['verify', '--all', '--config', config, '--json'], { env: none })
    expect(verified.status, verified.stderr).toBe(0)
    expect(verified.stdout.toString()).toContain('"verified":3')
    const calls = await readFile(output, 'latin1')
    expect(calls).toContain('C_SignInit')
    const seen = attributesIn(calls)
    expect(seen).toContain('sealfleet/default/sig/s1/1')
    expect(seen).not.toContain('/enc/')

    const restored = await world.sealfleet(
      ['restore', fileIds[0] ?? '', '-o', path.join(dir, 'out'), '--config', config, '--json'],
      {
        env: none,
      },
    )
    expect(restored.json()).toMatchObject({ error: { code: 'E_KEY_UNKNOWN' } })
    expect(restored.status).toBe(5)
    // The log would have shown it: opening does look.
    expect(attributesIn(await readFile(output, 'latin1'))).toContain('sealfleet/default/enc/s1/1')
  })
})

describe('sealfleet scrub', () => {
  longTest('verifies every object, and finds the one that was exchanged', async () => {
    const run = await world.inProcess(['maintenance', 'run', 'scrub', '--json'])
    expect(run.status, run.stdout.toString()).toBe(0)
    expect(run.json()).toMatchObject({ pass: { objects: 3, failed: 0 } })

    await using records = await openRecords(world.databaseUrl)
    const [event] = await searchAudit(records, { action: 'file.commit', subjectId: fileIds[1] ?? '', limit: 1 })
    const { objectKey, length } = event?.detail as { objectKey: string; length: number }
    const client = new S3Client({
      endpoint: world.env['SEALFLEET_S3_ENDPOINT'] ?? '',
      region: world.env['SEALFLEET_S3_REGION'] ?? '',
      forcePathStyle: true,
      credentials: {
        accessKeyId: world.env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
        secretAccessKey: world.env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
      },
    })
    const bucket = world.env['SEALFLEET_S3_BUCKET'] ?? ''
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: objectKey, Body: randomBytes(length) }))
    client.destroy()

    const again = await world.inProcess(['maintenance', 'run', 'scrub', '--json'])
    expect(again.status).toBe(3)
    expect(again.json()).toMatchObject({
      pass: { objects: 3, failed: 1, findings: [{ fileId: fileIds[1], code: 'E_FORMAT' }] },
    })
    const status = await world.inProcess(['maintenance', 'show', 'scrub', '--json'])
    expect(status.json()).toMatchObject({ passes: [{ failed: 1 }, { failed: 0 }], left: null })
  })
})

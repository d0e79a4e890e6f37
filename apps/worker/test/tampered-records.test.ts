/**
 * Records in which someone changed one column: what the worker's readers (sealing again, which decrypts, and scrubbing, which
 * verifies) and the audit say of each. A column either decides nothing that a reader gives out, or changing it is refused.
 */
import { ingest, rekeyKind } from '@sealfleet/attempts'
import { randomUUID } from 'node:crypto'

import type { HsmPool } from '@sealfleet/hsm'
import { requestFingerprint } from '@sealfleet/queue'
import { scrub } from '@sealfleet/maintenance'
import { auditCommitMismatches, joinCommitsWithAudit } from '@sealfleet/records/audit'
import { getDomain } from '@sealfleet/records/fleet'
import { getFile } from '@sealfleet/records/files'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { startFleet, type Fleet } from './fleet.js'
import { directly, rekeyPorts } from './rekeying.js'

const DETACHED = '1f6f2c1e-0f0b-4f39-8a53-51a5cf0b4c77'
const OTHER_32 = "decode(repeat('ab', 32), 'hex')"

interface Change {
  /** SQL: what the column becomes. */
  readonly to: string
  /** What readers say: a code, `not stored` (nothing is read at all), or `unused`, with the reason. */
  readonly readers: string
  /** Where scrubbing says something else than who opens the file: it begins with the attempts. */
  readonly scrubbed?: string
  /** Whether `audit verify` finds it too, by the row of the commit. */
  readonly audit?: boolean
  readonly file?: 'detached'
}

const unused = (why: string, to: string, audit = false): Change => ({ to, readers: `unused: ${why}`, audit })
const mismatch = (to: string, audit = true): Change => ({ to, readers: 'E_RECORD_MISMATCH', audit })
const NAME = 'a name or a time is the record’s word alone, and decides no byte'
const COURSE = 'the course of jobs, which is over'

const ATTEMPTS: Readonly<Record<string, Change>> = {
  id: mismatch('gen_random_uuid()'),
  file_id: { to: 'gen_random_uuid()', readers: 'RECORD_DAMAGED', scrubbed: 'verified', audit: true },
  domain_id: { to: `'${DETACHED}'`, readers: 'E_KEY_UNKNOWN' },
  attempt_no: mismatch('attempt_no + 1'),
  generation: unused(COURSE, 'generation + 1'),
  state: { to: "'OPEN'", readers: 'RECORD_DAMAGED', scrubbed: 'verified', audit: true },
  owner: unused(COURSE, "'somebody'"),
  suite: { to: '2', readers: 'E_KEY_UNKNOWN', audit: true },
  seg_log2: mismatch('seg_log2 - 1'),
  enc_key_id: { to: 'gen_random_uuid()', readers: 'E_KEY_UNKNOWN', audit: true },
  sig_key_id: { to: 'gen_random_uuid()', readers: 'E_KEY_UNKNOWN', audit: true },
  kek_key_id: { to: 'gen_random_uuid()', readers: 'E_KEY_UNKNOWN', file: 'detached' },
  nonce_enc: mismatch(OTHER_32, false),
  nonce_sig: mismatch(OTHER_32, false),
  wrapped_nonces: {
    to: 'set_byte(wrapped_nonces, 20, 255 - get_byte(wrapped_nonces, 20))',
    readers: 'E_NONCE_UNWRAP',
    file: 'detached',
  },
  nonce_id_enc: unused('keeps nonces from being used again', OTHER_32),
  nonce_id_sig: unused('keeps nonces from being used again', OTHER_32),
  source_fingerprint: unused(COURSE, "'{}'"),
  bucket: unused('which store is asked: the object there is compared', "'another-bucket'", true),
  object_key: { to: "object_key || 'x'", readers: 'S3_NO_SUCH_OBJECT', audit: true },
  object_version: unused('which version is asked for: the object is compared; s3rver has none', "'x'", true),
  etag: unused('readers pin what the store says', "'x'", true),
  object_length: mismatch('object_length + 1'),
  plaintext_length: mismatch('plaintext_length - 1'),
  htag: mismatch(OTHER_32),
  fmac: { to: OTHER_32, readers: 'E_TRAILER_AUTH', audit: true },
  object_sha256: unused('the tags say more', OTHER_32),
  failure_code: unused(COURSE, "'INTERNAL'"),
  opened_at: unused(NAME, 'now()'),
  ended_at: unused(NAME, 'now()'),
  swept_at: unused(COURSE, 'now()'),
  superseded_at: unused(COURSE, 'now()'),
  shredded_at: unused('without nonces nothing opens; with them it is not shredded', 'now()'),
  verified_at: unused('the order of scrubbing', "now() - interval '1 day'"),
}

const FILES: Readonly<Record<string, Change>> = {
  id: { to: 'gen_random_uuid()', readers: 'not stored', audit: true },
  domain_id: unused('the attempt’s own is compared', `'${DETACHED}'`),
  state: { to: "'DEAD'", readers: 'not stored' },
  source_root: unused(NAME, "'elsewhere'"),
  source_path: unused(NAME, "'elsewhere'"),
  context: { to: "'other'", readers: 'E_CONTEXT' },
  fingerprint: unused('the request, not the object', OTHER_32),
  generation: unused(COURSE, 'generation + 1'),
  batch_id: unused(NAME, 'gen_random_uuid()'),
  last_attempt_no: unused(COURSE, 'last_attempt_no + 1'),
  crashes: unused(COURSE, 'crashes + 1'),
  next_try_at: unused(COURSE, 'now()'),
  lease_owner: unused(COURSE, "'somebody'"),
  lease_expires_at: unused(COURSE, 'now()'),
  committed_attempt_id: { to: 'gen_random_uuid()', readers: 'RECORD_DAMAGED', audit: true },
  last_failure_code: unused(COURSE, "'INTERNAL'"),
  last_failure_at: unused(COURSE, 'now()'),
  accepted_at: unused(NAME, 'now()'),
  updated_at: unused(NAME, 'now()'),
  stored_at: unused(NAME, 'now()'),
  deleted_at: unused(NAME, 'now()'),
  deleted_by: unused(NAME, "'somebody'"),
  deletion: unused(NAME, "'REMOVED'"),
  swept_at: unused(COURSE, 'now()'),
}

let fleet: Fleet
let db: pg.Pool
const ids: Record<'inline' | 'detached', string> = { inline: randomUUID(), detached: randomUUID() }

beforeAll(async () => {
  fleet = await startFleet({ domains: [{ id: DETACHED, nonceMode: 'detached', lossAcknowledged: true }] })
  db = directly(fleet)
  for (const [path, domain] of [
    ['inline', 'default'],
    ['detached', DETACHED],
  ] as const) {
    await fleet.writeSource(path, 'a file of some bytes')
    const content = { domain, root: 'in', path, context: Buffer.from('its context') }
    const { root, ...request } = { ...content, fileId: ids[path], generation: 1, owner: randomUUID() }
    const claim = { ...request, source: { root, path }, fingerprint: requestFingerprint(content) }
    const outcome = await ingest(fleet.ports, claim, { signal: new AbortController().signal })
    expect(outcome.kind).toBe('stored')
  }
  // Anyone who owns the tables can drop what they check.
  const { rows } = await db.query<{ sql: string }>(
    `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS sql FROM pg_constraint
      WHERE contype = 'c' AND conrelid IN ('attempts'::regclass, 'files'::regclass)`,
  )
  for (const { sql } of rows) await db.query(sql)
  for (const table of ['attempts', 'files']) await db.query(`CREATE TABLE true_${table} AS SELECT * FROM ${table}`)
})
afterAll(async () => {
  await db?.end()
  await fleet?.[Symbol.asyncDispose]()
})

test('every column of both tables is in this list', async () => {
  const { rows } = await db.query<{ table: string; column: string }>(
    `SELECT table_name AS table, column_name AS column FROM information_schema.columns
      WHERE table_name IN ('attempts', 'files') AND table_schema = 'public' AND is_generated = 'NEVER'`,
  )
  const named = { attempts: ATTEMPTS, files: FILES } as Record<string, Readonly<Record<string, Change>>>
  expect(rows.filter(({ table, column }) => named[table]?.[column] === undefined)).toEqual([])
})

test('a true record is opened, verified and borne out by the audit', async () => {
  for (const name of ['inline', 'detached'] as const) {
    const { file, committed } = await recordOf(ids[name])
    expect(await resealing(ids[name], committed)).toBe('opened')
    expect(await scrubbing(file)).toBe('verified')
    expect(await audited(file, committed)).toBe(false)
  }
})

describe.each([
  ['attempts', ATTEMPTS],
  ['files', FILES],
] as const)('of %s', (table, changes) => {
  test.each(Object.entries(changes))('%s', async (column, { to, readers, scrubbed, audit = false, file }) => {
    const fileId = ids[file ?? 'inline']
    const { committed } = await recordOf(fileId)
    await change(table, column, to, fileId)
    try {
      const said = readers.startsWith('unused')
        ? ['opened', 'verified']
        : readers === 'not stored'
          ? ['FENCED', 'verified']
          : [readers, scrubbed ?? readers]
      // A record that names another attempt id is claimed under that one: the claim is not what is tested here.
      const named = column === 'id' && table === 'attempts' ? (await recordOf(fileId)).committed : committed
      expect([await resealing(fileId, named), await scrubbing(fileId)]).toEqual(said)
      expect(await audited(fileId, committed)).toBe(audit)
    } finally {
      await putBack(table, column)
    }
  })
})

/** As who owns the tables may: past every trigger and foreign key. */
async function asOwner(...statements: readonly string[]): Promise<void> {
  const client = await db.connect()
  try {
    await client.query('SET session_replication_role = replica')
    for (const statement of statements) await client.query(statement)
  } finally {
    client.release(true)
  }
}

async function change(table: string, column: string, to: string, fileId: string): Promise<void> {
  const of = table === 'files' ? 'id' : 'file_id'
  const follow = 'UPDATE files f SET committed_attempt_id = a.id FROM attempts a WHERE a.file_id = f.id'
  const statements = [`UPDATE ${table} SET ${column} = ${to} WHERE ${of} = '${fileId}'`]
  await asOwner(...statements, ...(table === 'attempts' && column === 'id' ? [follow] : []))
}

async function putBack(table: string, column: string): Promise<void> {
  const key = table === 'files' ? (column === 'id' ? 'source_path' : 'id') : column === 'file_id' ? 'id' : 'file_id'
  await asOwner(
    `UPDATE ${table} t SET ${column} = o.${column} FROM true_${table} o WHERE t.${key} = o.${key}`,
    'UPDATE files f SET committed_attempt_id = o.committed_attempt_id FROM true_files o WHERE o.id = f.id',
  )
}

async function recordOf(fileId: string): Promise<{ file: string; committed: string }> {
  return { file: fileId, committed: (await getFile(fleet.records, fileId))?.committed?.id ?? '' }
}

/** What sealing again says of the old object: a code, or `opened`. */
async function resealing(fileId: string, oldAttemptId: string): Promise<string> {
  const domain = await getDomain(fleet.records, 'default')
  if (domain === undefined) throw new Error('no default domain')
  const itemId = randomUUID()
  const claim = { itemId, runId: randomUUID(), fileId, attemptNo: 9, oldAttemptId, tries: 0, domain }
  const kind = rekeyKind(rekeyPorts(fleet), { itemId, owner: 'test' })
  const opening = async (): Promise<string> => {
    await using _old = await kind.open(claim, new AbortController().signal)
    return 'opened'
  }
  return codeOf(opening())
}

async function scrubbing(fileId: string): Promise<string> {
  const { hsm, store } = fleet.ports
  const faultOf = (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : undefined)
  const ports = { records: fleet.records, store, hsm: hsm as HsmPool, faultOf }
  await db.query("UPDATE scrubs SET started_at = now() - interval '1 day', finished_at = now() - interval '1 hour'")
  return codeOf(
    scrub(ports, { everyDays: 0 }).then(
      (pass) => pass?.findings.find((finding) => finding.fileId === fileId)?.code ?? 'verified',
    ),
  )
}

/** Whether `audit verify` would name this file, or this attempt. */
async function audited(fileId: string, attemptId: string): Promise<boolean> {
  const stored = await auditCommitMismatches(fleet.records, {
    after: '00000000-0000-0000-0000-000000000000',
    limit: 10,
  })
  const events = await joinCommitsWithAudit(fleet.records, { after: '0', limit: 100 })
  return [...stored.found, ...events.found].some((it) => it.fileId === fileId || it.attemptId === attemptId)
}

async function codeOf(reading: Promise<unknown>): Promise<string> {
  try {
    return String(await reading)
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code)
    throw error
  }
}

import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { attempt, commitOf, nonceIdOf, opened, openFixture, request, type Fixture } from './support.js'

/**
 * What must never be, tried with SQL past all of our own statements: each row below is valid but for what `over` breaks,
 * and the database names the rule.
 */
let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

type Row = Record<string, unknown>

/** The nonce that asks for a key's known answer (docs/design/format.md §3). */
const RESERVED = createHash('sha256').update('SFV1/known-nonce').digest()

async function insert(table: string, row: Row): Promise<void> {
  const columns = Object.keys(row)
  const places = columns.map((_, i) => `$${i + 1}`)
  await f.sql.query(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${places.join(', ')})`, Object.values(row))
}

/** The name of the rule that refuses, or `accepted`. */
async function verdict(write: Promise<unknown>): Promise<string> {
  try {
    await write
    return 'accepted'
  } catch (error) {
    const { constraint, column, code } = error as { constraint?: string; column?: string; code: string }
    return constraint ?? (column === undefined ? code : `${column} not null`)
  }
}

function fileOf(over: Row = {}): Row {
  return {
    id: randomUUID(),
    domain_id: '00000000-0000-0000-0000-000000000000',
    source_root: 'in',
    source_path: 'a',
    context: Buffer.alloc(0),
    fingerprint: randomBytes(32),
    ...over,
  }
}

const RUNNING = { state: 'RUNNING', last_attempt_no: 1, lease_owner: 'w', lease_expires_at: new Date() }

describe('files', () => {
  test('as the helper makes them are accepted', async () => {
    expect(await verdict(insert('files', fileOf()))).toBe('accepted')
    expect(await verdict(insert('files', fileOf(RUNNING)))).toBe('accepted')
    expect(await verdict(insert('files', fileOf({ context: Buffer.alloc(1024) })))).toBe('accepted')
  })

  test.each<[string, Row, string]>([
    ['a domain that does not exist', { domain_id: randomUUID() }, 'files_domain_id_fkey'],
    ['a batch that does not exist', { batch_id: randomUUID() }, 'files_batch_id_fkey'],
    ['an empty path', { source_path: '' }, 'files_source'],
    ['an endless path', { source_path: 'x'.repeat(4097) }, 'files_source'],
    ['an empty root', { source_root: '' }, 'files_source'],
    ['1,025 bytes of context', { context: Buffer.alloc(1025) }, 'files_context'],
    ['a fingerprint of 31 bytes', { fingerprint: randomBytes(31) }, 'files_fingerprint'],
    ['generation 0', { generation: 0 }, 'files_counters'],
    ['crashes below 0', { crashes: -1 }, 'files_counters'],
    ['an attempt number below 0', { last_attempt_no: -1 }, 'files_counters'],
    ['RUNNING without a lease', { state: 'RUNNING', last_attempt_no: 1 }, 'files_lease'],
    ['RUNNING without an owner', { ...RUNNING, lease_owner: null }, 'files_lease'],
    ['RUNNING with an empty owner', { ...RUNNING, lease_owner: '' }, 'files_lease'],
    ['RUNNING without an expiry', { ...RUNNING, lease_expires_at: null }, 'files_lease'],
    ['RUNNING under attempt 0', { ...RUNNING, last_attempt_no: 0 }, 'files_lease'],
    ['QUEUED with a lease', { ...RUNNING, state: 'QUEUED' }, 'files_lease'],
    ['DEAD with an owner', { state: 'DEAD', lease_owner: 'w' }, 'files_lease'],
    ['STORED without an attempt', { state: 'STORED', stored_at: new Date() }, 'files_stored_names_attempt'],
    ['QUEUED with a committed attempt', { committed_attempt_id: randomUUID() }, 'files_stored_names_attempt'],
  ])('never with %s', async (_, over, rule) => {
    expect(await verdict(insert('files', fileOf(over)))).toBe(rule)
  })

  const FK = 'files_id_committed_attempt_id_committed_state_fkey'
  const store = `UPDATE files SET state = 'STORED', stored_at = now(), lease_owner = NULL, lease_expires_at = NULL,
    committed_attempt_id = $2 WHERE id = $1`

  test('are not STORED under an attempt that is only OPEN', async () => {
    const a = await opened(f)
    expect(await verdict(f.sql.query(store, [a.fileId, a.attemptId]))).toBe(FK)
  })

  test('are not STORED under an attempt at another file, nor under none that exists', async () => {
    const other = await opened(f)
    await commitAttempt(f.records, commitOf(other))
    const a = await opened(f)
    expect(await verdict(f.sql.query(store, [a.fileId, other.attemptId]))).toBe(FK)
    expect(await verdict(f.sql.query(store, [a.fileId, randomUUID()]))).toBe(FK)
  })

  test('do not lose their committed attempt while they are STORED', async () => {
    const a = await opened(f)
    await commitAttempt(f.records, commitOf(a))
    expect(await verdict(f.sql.query(`UPDATE attempts SET state = 'SUPERSEDED' WHERE id = $1`, [a.attemptId]))).toBe(FK)
    expect(await verdict(f.sql.query('UPDATE files SET committed_attempt_id = NULL WHERE id = $1', [a.fileId]))).toBe(
      'files_stored_names_attempt',
    )
  })
})

/** Columns of an OPEN attempt at a new claimed file. */
async function attemptOf(over: (a: Row) => Row = () => ({})): Promise<Row> {
  const claim = request()
  await claimFile(f.records, claim)
  const a = attempt(f, claim)
  const row: Row = {
    id: a.attemptId,
    file_id: a.fileId,
    domain_id: '00000000-0000-0000-0000-000000000000',
    attempt_no: 1,
    generation: 1,
    owner: a.owner,
    suite: 1,
    seg_log2: 20,
    enc_key_id: a.encKeyId,
    sig_key_id: a.sigKeyId,
    nonce_enc: a.nonceEnc,
    nonce_sig: a.nonceSig,
    nonce_id_enc: a.nonceIdEnc,
    nonce_id_sig: a.nonceIdSig,
    bucket: 'b',
    object_key: a.objectKey,
  }
  return { ...row, ...over(row) }
}

/** What turns an OPEN attempt of 3 bytes into a COMMITTED one. */
const COMMITTED: Row = {
  state: 'COMMITTED',
  object_version: 'v',
  etag: '"e"',
  object_length: 451,
  plaintext_length: 3,
  htag: randomBytes(32),
  fmac: randomBytes(32),
  ended_at: new Date(),
}

const ZERO = Buffer.alloc(32)
const NONCE = randomBytes(32)

describe('attempts', () => {
  test('as the helper makes them are accepted, open and committed', async () => {
    expect(await verdict(insert('attempts', await attemptOf()))).toBe('accepted')
    expect(await verdict(insert('attempts', await attemptOf(() => COMMITTED)))).toBe('accepted')
    expect(await verdict(insert('attempts', await attemptOf(() => ({ ...COMMITTED, etag: null }))))).toBe('accepted')
  })

  test.each([
    [0, 448],
    [1, 449],
    [1_048_576, 1_049_024],
    [1_048_577, 1_049_057],
    [17_592_186_044_416, 17_592_186_044_416 + 416 + 32 * 16_777_216],
  ])('of %i bytes have an object of %i', async (plaintext_length, object_length) => {
    const whole = { ...COMMITTED, plaintext_length, object_length }
    expect(await verdict(insert('attempts', await attemptOf(() => whole)))).toBe('accepted')
    const off = { ...whole, object_length: object_length + 1 }
    expect(await verdict(insert('attempts', await attemptOf(() => off)))).toBe('attempts_lengths')
  })

  test.each<[string, (a: Row) => Row, string]>([
    ['attempt number 0', () => ({ attempt_no: 0 }), 'attempts_attempt_no'],
    ['suite 3', () => ({ suite: 3 }), 'attempts_suite'],
    ['segments of 32 KiB', () => ({ seg_log2: 15 }), 'attempts_suite'],
    ['segments of 32 MiB', () => ({ seg_log2: 25 }), 'attempts_suite'],
    ['suite 2 under keys of suite 1', () => ({ suite: 2 }), 'attempts_enc_key_id_domain_id_enc_role_suite_fkey'],
    ['one key for both roles', (a) => ({ sig_key_id: a['enc_key_id'] }), 'attempts_keys_differ'],
    [
      'keys in each other’s place',
      (a) => ({ enc_key_id: a['sig_key_id'], sig_key_id: a['enc_key_id'] }),
      'attempts_enc_key_id_domain_id_enc_role_suite_fkey',
    ],
    ['no encryption key', () => ({ enc_key_id: null }), 'enc_key_id not null'],
    ['no signing key', () => ({ sig_key_id: null }), 'sig_key_id not null'],
    [
      'a KEK that is none',
      (a) => detached({ kek_key_id: a['enc_key_id'] }),
      'attempts_kek_key_id_domain_id_kek_role_fkey',
    ],
    ['the domain of another file', () => ({ domain_id: randomUUID() }), 'attempts_object_key'],
    ['no nonce at all', () => ({ nonce_enc: null, nonce_sig: null }), 'attempts_live_has_nonces'],
    ['one nonce of two', () => ({ nonce_sig: null }), 'attempts_nonces_in_pairs'],
    ['inline and wrapped nonces', () => ({ wrapped_nonces: randomBytes(92) }), 'attempts_one_nonce_mode'],
    ['wrapped nonces without a KEK', () => detached({}), 'attempts_wrapped_names_kek'],
    ['inline nonces with a KEK', (a) => ({ kek_key_id: a['enc_key_id'] }), 'attempts_inline_names_no_kek'],
    ['a nonce of 31 bytes', () => ({ nonce_enc: randomBytes(31) }), 'attempts_nonce_ids_true'],
    ['wrapped nonces of 91 bytes', () => detached({ wrapped_nonces: randomBytes(91) }), 'attempts_nonce_size'],
    ['a nonce id of 31 bytes', () => detached({ nonce_id_enc: randomBytes(31) }), 'attempts_nonce_size'],
    ['no nonce id', () => ({ nonce_id_sig: null }), 'nonce_id_sig not null'],
    ['a zero nonce_enc', () => ({ nonce_enc: ZERO, nonce_id_enc: nonceIdOf(ZERO) }), 'attempts_nonce_not_zero'],
    ['a zero nonce_sig', () => ({ nonce_sig: ZERO, nonce_id_sig: nonceIdOf(ZERO) }), 'attempts_nonce_not_zero'],
    [
      'the reserved nonce_enc',
      () => ({ nonce_enc: RESERVED, nonce_id_enc: nonceIdOf(RESERVED) }),
      'attempts_nonce_not_reserved',
    ],
    [
      'the reserved nonce_sig, unseen',
      () => detached({ nonce_id_sig: nonceIdOf(RESERVED) }),
      'attempts_nonce_not_reserved',
    ],
    ['equal nonces', () => pair(NONCE, NONCE), 'attempts_nonces_differ'],
    ['equal nonce ids, nonces unseen', () => detached({ ...ids(NONCE, NONCE) }), 'attempts_nonces_differ'],
    ['a made-up nonce id', () => ({ nonce_id_enc: randomBytes(32) }), 'attempts_nonce_ids_true'],
    ['no bucket', () => ({ bucket: '' }), 'attempts_object_key'],
    ['the object key of another attempt', () => ({ object_key: `default/x/${randomUUID()}` }), 'attempts_object_key'],
    ['OPEN and ended', () => ({ ended_at: new Date() }), 'attempts_ended'],
    ['FAILED without an end', () => ({ state: 'FAILED', failure_code: 'X1' }), 'attempts_ended'],
    ['FAILED without a code', () => ({ state: 'FAILED', ended_at: new Date() }), 'attempts_failed_has_code'],
    ['COMMITTED, no nonces', () => ({ ...COMMITTED, nonce_enc: null, nonce_sig: null }), 'attempts_live_has_nonces'],
    [
      'COMMITTED, no version, no ETag',
      () => committed({ object_version: null, etag: null }),
      'attempts_committed_is_whole',
    ],
    ['COMMITTED, both empty', () => committed({ object_version: '', etag: '' }), 'attempts_committed_is_whole'],
    [
      'COMMITTED, no lengths',
      () => committed({ object_length: null, plaintext_length: null }),
      'attempts_committed_is_whole',
    ],
    ['COMMITTED, one length', () => committed({ plaintext_length: null }), 'attempts_committed_is_whole'],
    ['COMMITTED, no HTAG', () => committed({ htag: null }), 'attempts_committed_is_whole'],
    ['COMMITTED, no FMAC', () => committed({ fmac: null }), 'attempts_committed_is_whole'],
    ['an HTAG of 33 bytes', () => committed({ htag: randomBytes(33) }), 'attempts_tag_size'],
    ['more than 2^44 bytes', () => committed({ plaintext_length: 2 ** 44 + 1 }), 'attempts_lengths'],
    ['a length below 0', () => committed({ plaintext_length: -1, object_length: 447 }), 'attempts_lengths'],
    ['no object key', () => ({ object_key: null }), 'object_key not null'],
    ['a role of one’s own choice', () => ({ enc_role: 'SIG' }), '428C9'],
  ])('never with %s', async (_, over, rule) => {
    expect(await verdict(insert('attempts', await attemptOf(over)))).toBe(rule)
  })

  test('never two committed of one file', async () => {
    const first = await opened(f)
    await commitAttempt(f.records, commitOf(first))
    const next = await attemptOf(() => COMMITTED)
    const same = {
      ...next,
      file_id: first.fileId,
      attempt_no: 2,
      object_key: `default/${first.fileId}/${String(next['id'])}`,
    }
    expect(await verdict(insert('attempts', same))).toBe('attempts_one_committed')
  })

  test('never two of one number, nor one object key twice', async () => {
    const row = await attemptOf()
    await insert('attempts', row)
    const twin = await attemptOf()
    const key = `default/${String(row['file_id'])}/${String(twin['id'])}`
    expect(await verdict(insert('attempts', { ...twin, file_id: row['file_id'], object_key: key }))).toBe(
      'attempts_file_id_attempt_no_key',
    )
    expect(await verdict(insert('attempts', { ...twin, object_key: row['object_key'] }))).toBe('attempts_object_key')
  })

  test('never a nonce twice under one key, in either role', async () => {
    const row = await attemptOf()
    await insert('attempts', row)
    const enc = { nonce_enc: row['nonce_enc'], nonce_id_enc: row['nonce_id_enc'] }
    const sig = { nonce_sig: row['nonce_sig'], nonce_id_sig: row['nonce_id_sig'] }
    expect(await verdict(insert('attempts', await attemptOf(() => enc)))).toBe('attempts_enc_key_id_nonce_id_enc_key')
    expect(await verdict(insert('attempts', await attemptOf(() => sig)))).toBe('attempts_sig_key_id_nonce_id_sig_key')
    // Across roles a key can't meet its nonce again: it has one role, and the foreign keys ask for it.
    const crossed = {
      ...sig,
      nonce_enc: row['nonce_sig'],
      nonce_id_enc: row['nonce_id_sig'],
      enc_key_id: row['sig_key_id'],
    }
    expect(await verdict(insert('attempts', await attemptOf(() => crossed)))).not.toBe('accepted')
  })
})

function detached(over: Row): Row {
  return {
    nonce_enc: null,
    nonce_sig: null,
    wrapped_nonces: randomBytes(92),
    nonce_id_enc: randomBytes(32),
    nonce_id_sig: randomBytes(32),
    ...over,
  }
}

function committed(over: Row): Row {
  return { ...COMMITTED, ...over }
}

function ids(enc: Buffer, sig: Buffer): Row {
  return { nonce_id_enc: nonceIdOf(enc), nonce_id_sig: nonceIdOf(sig) }
}

function pair(enc: Buffer, sig: Buffer): Row {
  return { nonce_enc: enc, nonce_sig: sig, ...ids(enc, sig) }
}

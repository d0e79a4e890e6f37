import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { appendAudit } from '../src/audit/append-audit.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { traceFile } from '../src/files/trace-file.js'
import { acceptFile, commitOf, nonceIdOf, openFixture, opened, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

/** The rule that refuses the statement, or `accepted`. */
async function rule(sql: string, values: unknown[] = []): Promise<string> {
  try {
    const { rowCount } = await f.sql.query(sql, values)
    return rowCount === 0 ? 'no such row' : 'accepted'
  } catch (error) {
    return (error as { constraint?: string }).constraint ?? String(error)
  }
}

async function queued(): Promise<string> {
  const file = request()
  await acceptFile(f.records, file)
  return file.fileId
}

describe('a file', () => {
  test.each([
    [`fingerprint = '\\x${'00'.repeat(32)}'`],
    [`source_path = 'elsewhere'`],
    [`source_root = 'elsewhere'`],
    [`context = 'x'`],
    [`accepted_at = now() - interval '1 day'`],
    [`id = gen_random_uuid()`],
  ])('keeps what was asked for: not %s', async (change) => {
    expect(await rule(`UPDATE files SET ${change} WHERE id = $1`, [await queued()])).toBe('files_request_fixed')
  })

  test('counts its attempts up by one, and never back', async () => {
    const { fileId } = await opened(f)
    expect(await rule('UPDATE files SET last_attempt_no = 0 WHERE id = $1', [fileId])).toBe(
      'files_attempt_no_counts_up',
    )
    expect(await rule('UPDATE files SET last_attempt_no = 3 WHERE id = $1', [fileId])).toBe(
      'files_attempt_no_counts_up',
    )
    expect(await rule('UPDATE files SET last_attempt_no = 2 WHERE id = $1', [fileId])).toBe('accepted')
  })

  test('counts its generations up', async () => {
    const id = await queued()
    expect(await rule('UPDATE files SET generation = 2 WHERE id = $1', [id])).toBe('accepted')
    expect(await rule('UPDATE files SET generation = 1 WHERE id = $1', [id])).toBe('files_generation_counts_up')
  })

  test('goes from state to state as the architecture says, and no other way', async () => {
    const allowed = new Set<string>()
    for (const from of STATES)
      for (const to of STATES) {
        if (from === to) continue
        const id = await fileIn(from)
        if ((await rule(`UPDATE files SET ${columnsOf(to)} WHERE id = $1`, [id])) !== 'files_transition')
          allowed.add(`${from} → ${to}`)
      }
    expect([...allowed].sort()).toEqual(
      [
        'QUEUED → RUNNING',
        'QUEUED → DEAD',
        'QUEUED → DISCARDED',
        'RUNNING → QUEUED',
        'RUNNING → DEAD',
        'RUNNING → STORED',
        'STORED → DELETED',
        'DEAD → QUEUED',
        'DEAD → DISCARDED',
      ].sort(),
    )
  })

  test('is never deleted', async () => {
    expect(await rule('DELETE FROM files WHERE id = $1', [await queued()])).toBe('files_never_deleted')
    expect(await rule('TRUNCATE files CASCADE')).toMatch(/_(never_deleted|append_only)$/)
  })
})

const STATES = ['QUEUED', 'RUNNING', 'STORED', 'DEAD', 'DISCARDED', 'DELETED'] as const

function columnsOf(state: (typeof STATES)[number]): string {
  return state === 'RUNNING'
    ? `state = 'RUNNING', last_attempt_no = last_attempt_no + 1, lease_owner = 'w', lease_expires_at = now()`
    : `state = '${state}', lease_owner = NULL, lease_expires_at = NULL`
}

async function fileIn(state: (typeof STATES)[number]): Promise<string> {
  if (state === 'QUEUED') return queued()
  const input = await opened(f)
  if (state === 'STORED' || state === 'DELETED') await commitAttempt(f.records, commitOf(input))
  if (state === 'DEAD' || state === 'DISCARDED') {
    const end = { code: 'SOURCE_MISSING', class: 'permanent-source', message: 'x', disposition: 'dead' } as const
    await failAttempt(f.records, { ...input, ...end })
  }
  if (state === 'DELETED' || state === 'DISCARDED')
    await f.sql.query(`UPDATE files SET state = '${state}' WHERE id = $1`, [input.fileId])
  return input.fileId
}

function freshNonces(): Buffer[] {
  const nonces = [randomBytes(32), randomBytes(32)]
  return [...nonces, ...nonces.map(nonceIdOf)]
}

describe('an attempt', () => {
  test.each([
    [`attempt_no = 7`],
    [`enc_key_id = gen_random_uuid()`],
    [`nonce_id_enc = '\\x${'01'.repeat(32)}'`],
    [`object_key = 'other'`],
    [`bucket = 'other'`],
    [`suite = 2`],
  ])('keeps its keys, nonces and place: not %s', async (change) => {
    const { attemptId } = await opened(f)
    expect(await rule(`UPDATE attempts SET ${change} WHERE id = $1`, [attemptId])).toBe('attempts_identity_fixed')
  })

  test('never gets other nonces', async () => {
    const { attemptId } = await opened(f)
    expect(await rule('UPDATE attempts SET nonce_enc = $2 WHERE id = $1', [attemptId, randomBytes(32)])).toBe(
      'attempts_nonces_fixed',
    )
  })

  test('that has failed does not come back', async () => {
    const input = await opened(f)
    const end = { code: 'SOURCE_BUSY', class: 'transient-source', message: 'x', disposition: 'retry' } as const
    await failAttempt(f.records, { ...input, ...end })
    for (const to of ['OPEN', 'COMMITTED', 'ABANDONED', 'SUPERSEDED'])
      expect(await rule(`UPDATE attempts SET state = '${to}' WHERE id = $1`, [input.attemptId])).toBe(
        'attempts_transition',
      )
  })

  test('that is committed keeps its outcome', async () => {
    const input = await opened(f)
    await commitAttempt(f.records, commitOf(input))
    for (const change of [`etag = '"x"'`, `object_version = 'x'`, `fmac = htag`, `object_length = 452`])
      expect(await rule(`UPDATE attempts SET ${change} WHERE id = $1`, [input.attemptId])).toBe(
        'attempts_outcome_fixed',
      )
    for (const to of ['OPEN', 'FAILED', 'ABANDONED'])
      expect(await rule(`UPDATE attempts SET state = '${to}' WHERE id = $1`, [input.attemptId])).toBe(
        'attempts_transition',
      )
  })

  test('gives way to a newer one in one transaction, while the file stays STORED', async () => {
    const old = await opened(f)
    await commitAttempt(f.records, commitOf(old))
    const newer = randomUUID()
    await f.sql.query(
      `INSERT INTO attempts (id, file_id, domain_id, attempt_no, generation, owner, suite, seg_log2, enc_key_id, sig_key_id,
         nonce_enc, nonce_sig, nonce_id_enc, nonce_id_sig, bucket, object_key)
       SELECT $1::uuid, file_id, domain_id, 2, 1, 'rekey', suite, seg_log2, enc_key_id, sig_key_id, $3, $4, $5, $6, 'b',
         'default/' || file_id || '/' || $1
       FROM attempts WHERE id = $2::uuid`,
      [newer, old.attemptId, ...freshNonces()],
    )
    const supersede = `UPDATE attempts SET state = 'SUPERSEDED' WHERE id = '${old.attemptId}'`
    const commit = `UPDATE attempts SET state = 'COMMITTED', etag = '"e"', object_length = 451, plaintext_length = 3,
      htag = $1, fmac = $1, ended_at = now() WHERE id = '${newer}'`
    const exchange = `UPDATE files SET committed_attempt_id = '${newer}' WHERE committed_attempt_id = '${old.attemptId}'`
    expect(await rule(supersede)).toBe('files_id_committed_attempt_id_committed_state_fkey')
    expect(await rule(commit, [randomBytes(32)])).toBe('attempts_one_committed')
    expect(await rule(exchange)).toBe('files_id_committed_attempt_id_committed_state_fkey')
    const rekey = await f.sql.connect()
    await rekey.query('BEGIN; SET CONSTRAINTS files_id_committed_attempt_id_committed_state_fkey DEFERRED')
    await rekey.query(supersede)
    await rekey.query(commit, [randomBytes(32)])
    await rekey.query(exchange)
    await rekey.query('COMMIT')
    rekey.release()
    const trace = await traceFile(f.records, old.fileId)
    expect(trace?.file).toMatchObject({ state: 'STORED', committedAttemptId: newer })
    expect(trace?.attempts.map((a) => a.state)).toEqual(['SUPERSEDED', 'COMMITTED'])
  })

  test('is never deleted', async () => {
    const { attemptId } = await opened(f)
    expect(await rule('DELETE FROM attempts WHERE id = $1', [attemptId])).toBe('attempts_never_deleted')
  })
})

describe('a master key', () => {
  test('goes one way, save that a destruction may be called off', async () => {
    const { enc } = f.keys
    const to = (state: string) =>
      rule(
        `UPDATE master_keys SET state = '${state}', activated_at = coalesce(activated_at, now()), retired_at = now(),
           destroy_after = now(), destroyed_at = CASE WHEN '${state}' = 'DESTROYED' THEN now() END WHERE id = $1`,
        [enc.id],
      )
    for (const state of ['PENDING', 'DESTROY_SCHEDULED', 'DESTROYED'])
      expect(await to(state)).toBe('master_keys_transition')
    expect(await to('DECRYPT_ONLY')).toBe('accepted')
    for (const state of ['PENDING', 'ACTIVE', 'DESTROYED']) expect(await to(state)).toBe('master_keys_transition')
    expect(await to('DESTROY_SCHEDULED')).toBe('accepted')
    expect(await to('DECRYPT_ONLY')).toBe('accepted')
    expect(await to('DESTROY_SCHEDULED')).toBe('accepted')
    expect(await to('DESTROYED')).toBe('accepted')
    for (const state of ['PENDING', 'ACTIVE', 'DECRYPT_ONLY', 'DESTROY_SCHEDULED'])
      expect(await to(state)).toBe('master_keys_transition')
  })

  test('keeps its name and check value, and its row', async () => {
    const { sig } = f.keys
    expect(await rule('UPDATE master_keys SET check_value = $2 WHERE id = $1', [sig.id, randomBytes(8)])).toBe(
      'master_keys_identity_fixed',
    )
    expect(await rule('UPDATE master_keys SET version = 9 WHERE id = $1', [sig.id])).toBe('master_keys_identity_fixed')
    expect(await rule('DELETE FROM master_keys WHERE id = $1', [sig.id])).toBe('master_keys_never_deleted')
  })
})

describe('history', () => {
  test.each(['UPDATE audit_log SET actor = actor', 'DELETE FROM audit_log', 'TRUNCATE audit_log CASCADE'])(
    'of the audit log is only added to: %s',
    async (sql) => {
      await appendAudit(f.records, { actor: 'a', action: 'x', subjectKind: 'file', subjectId: 'y' })
      expect(await rule(sql)).toBe('audit_log_append_only')
    },
  )

  test.each([`UPDATE failures SET code = 'NONE'`, 'DELETE FROM failures'])('of failures too: %s', async (sql) => {
    expect(await rule(sql)).toBe('failures_append_only')
  })
})

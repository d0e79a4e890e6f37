import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { getFile } from '../src/files/get-file.js'
import { listAudit } from '../src/audit/append-audit.js'
import { openAttempt } from '../src/attempts/open-attempt.js'
import { registerMasterKey } from '../src/keys/master-keys.js'
import { renewLease } from '../src/attempts/renew-lease.js'
import { traceFile } from '../src/files/trace-file.js'
import { addKey, attempt, commitOf, endLease, opened, openFixture, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

describe('openAttempt', () => {
  test('refuses who does not hold the lease', async () => {
    const job = request()
    await claimFile(f.records, job)
    for (const wrong of [{ owner: 'other' }, { attemptNo: 2 }, { fileId: randomUUID() }])
      await expect(openAttempt(f.records, { ...attempt(f, job), ...wrong })).rejects.toMatchObject({ code: 'FENCED' })
  })

  test('refuses a lease that has run out', async () => {
    const job = request()
    await claimFile(f.records, job)
    await endLease(f, job.fileId)
    await expect(openAttempt(f.records, attempt(f, job))).rejects.toMatchObject({ code: 'FENCED' })
  })

  test.each(['enc', 'sig'] as const)('refuses a %s nonce that was used before under this key', async (which) => {
    const first = await opened(f)
    const job = request()
    await claimFile(f.records, job)
    const again =
      which === 'enc'
        ? { nonceEnc: first.nonceEnc, nonceIdEnc: first.nonceIdEnc }
        : { nonceSig: first.nonceSig, nonceIdSig: first.nonceIdSig }
    const error: unknown = await openAttempt(f.records, attempt(f, job, again)).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'NONCE_REUSE', sqlState: '23505' })
  })

  test('refuses it in detached mode too, where only the ids are there to see', async () => {
    const first = await opened(f)
    const kek = await kekId()
    const job = request()
    await claimFile(f.records, job)
    const { nonceEnc: _, nonceSig: __, ...rest } = attempt(f, job, { nonceIdEnc: first.nonceIdEnc })
    await expect(
      openAttempt(f.records, { ...rest, kekKeyId: kek, wrappedNonces: randomBytes(92) }),
    ).rejects.toMatchObject({ code: 'NONCE_REUSE' })
  })

  test('refuses the key of one role in the place of the other', async () => {
    const job = request()
    await claimFile(f.records, job)
    const { enc, sig } = f.keys
    await expect(openAttempt(f.records, attempt(f, job, { encKeyId: sig.id, sigKeyId: enc.id }))).rejects.toMatchObject(
      { code: 'NOT_FOUND' },
    )
  })

  test('refuses a key that is only PENDING, or unknown', async () => {
    const { key } = await registerMasterKey(f.records, {
      ref: { role: 'enc', domain: 'default', suite: 1, version: 90 },
      checkValue: randomBytes(8),
    })
    const job = request()
    await claimFile(f.records, job)
    for (const encKeyId of [key.id, randomUUID()])
      await expect(openAttempt(f.records, attempt(f, job, { encKeyId }))).rejects.toMatchObject({
        code: 'NO_ACTIVE_KEY',
      })
  })

  test('accepts a key that a rotation retired a moment ago', async () => {
    const job = request()
    await claimFile(f.records, job)
    const input = attempt(f, job) // under the keys of the fixture
    await addKey(f.records, 'enc', 2)
    await openAttempt(f.records, input)
    expect(await commitAttempt(f.records, commitOf(input))).toBe('committed')
    expect((await getFile(f.records, job.fileId))?.committed?.encKeyVersion).toBe(1)
  })

  test('keeps wrapped nonces, and hands them back with the version of their KEK', async () => {
    const kekKeyId = await kekId()
    const job = request()
    await claimFile(f.records, job)
    const wrapped = randomBytes(92)
    const { nonceEnc: _, nonceSig: __, ...rest } = attempt(f, job)
    await openAttempt(f.records, { ...rest, kekKeyId, wrappedNonces: wrapped })
    expect(await commitAttempt(f.records, commitOf(rest))).toBe('committed')
    const committed = (await getFile(f.records, job.fileId))?.committed
    expect(committed).toMatchObject({ nonces: null, wrappedNonces: { kekVersion: 1 } })
    expect(committed?.wrappedNonces?.wrapped.equals(wrapped)).toBe(true)
  })
})

describe('commitAttempt', () => {
  test('stores the file under this attempt, with all that a reader needs', async () => {
    const input = await opened(f)
    const commit = commitOf(input)
    expect(await commitAttempt(f.records, commit)).toBe('committed')
    const stored = await getFile(f.records, input.fileId)
    expect(stored?.file).toMatchObject({ state: 'STORED', committedAttemptId: input.attemptId, lease: null })
    expect(stored?.committed).toMatchObject({
      id: input.attemptId,
      state: 'COMMITTED',
      attemptNo: 1,
      sigKeyVersion: 1,
      kekVersion: null,
      objectVersion: 'v1',
      etag: '"etag"',
      objectLength: commit.objectLength,
      plaintextLength: 3,
      objectKey: input.objectKey,
      wrappedNonces: null,
    })
    expect(stored?.committed?.nonces?.nonceEnc.equals(input.nonceEnc!)).toBe(true)
    expect(stored?.committed?.nonces?.nonceSig.equals(input.nonceSig!)).toBe(true)
    expect(stored?.committed?.htag.equals(commit.htag)).toBe(true)
    expect(stored?.committed?.fmac.equals(commit.fmac)).toBe(true)
  })

  test('leaves one row in the audit log that names the object, its tags and its keys', async () => {
    const input = await opened(f)
    const commit = commitOf(input)
    await commitAttempt(f.records, commit)
    await commitAttempt(f.records, commit)
    const rows = await listAudit(f.records, { subjectKind: 'file', subjectId: input.fileId })
    expect(rows).toMatchObject([{ actor: input.owner, action: 'file.commit' }])
    expect(rows[0]?.detail).toEqual({
      attemptId: input.attemptId,
      attemptNo: 1,
      bucket: 'bucket',
      objectKey: input.objectKey,
      version: 'v1',
      etag: '"etag"',
      length: commit.objectLength,
      plaintextLength: commit.plaintextLength,
      segLog2: input.segLog2,
      suite: input.suite,
      htag: Buffer.from(commit.htag).toString('hex'),
      fmac: Buffer.from(commit.fmac).toString('hex'),
      enc: 1,
      sig: 1,
      kek: null,
    })
  })

  test('leaves none when it is fenced', async () => {
    const input = await opened(f)
    expect(await commitAttempt(f.records, commitOf(input, { owner: 'other' }))).toBe('fenced')
    expect(await listAudit(f.records, { subjectKind: 'file', subjectId: input.fileId })).toEqual([])
  })

  test('whose answer was lost is recognised as done, as often as one asks', async () => {
    const input = await opened(f)
    const commit = commitOf(input)
    await commitAttempt(f.records, commit)
    const before = await getFile(f.records, input.fileId)
    expect(await commitAttempt(f.records, commit)).toBe('already')
    expect(await commitAttempt(f.records, { ...commit, etag: '"other"' })).toBe('already')
    expect(await getFile(f.records, input.fileId)).toEqual(before)
  })

  test('sent twice at once commits once', async () => {
    const commit = commitOf(await opened(f))
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => commitAttempt(f.records, commit)))
    expect(outcomes.sort()).toEqual([...Array<string>(7).fill('already'), 'committed'])
  })

  test('is fenced when the lease ran out, though no one else took the file', async () => {
    const input = await opened(f)
    await endLease(f, input.fileId)
    expect(await commitAttempt(f.records, commitOf(input))).toBe('fenced')
    expect((await getFile(f.records, input.fileId))?.file.state).toBe('RUNNING')
  })

  test('is fenced after another worker claimed the file, and after that one stored it', async () => {
    const job = request()
    const late = await opened(f, job)
    await endLease(f, job.fileId)
    await claimFile(f.records, { ...job, owner: 'heir', leaseSeconds: 60 })
    expect(await commitAttempt(f.records, commitOf(late))).toBe('fenced')
    const heir = attempt(f, { fileId: job.fileId, owner: 'heir' }, { attemptNo: 2 })
    await openAttempt(f.records, heir)
    expect(await commitAttempt(f.records, commitOf(heir))).toBe('committed')
    expect(await commitAttempt(f.records, commitOf(late))).toBe('fenced')
    const trace = await traceFile(f.records, job.fileId)
    expect(trace?.attempts.map((a) => a.state)).toEqual(['ABANDONED', 'COMMITTED'])
  })

  test('of an older attempt by the same owner is fenced', async () => {
    const job = request()
    const first = await opened(f, job)
    await endLease(f, job.fileId)
    await claimFile(f.records, { ...job, leaseSeconds: 60 })
    expect(await commitAttempt(f.records, commitOf(first))).toBe('fenced')
  })

  test('is fenced for another owner, another file, an unknown attempt and one that failed', async () => {
    const input = await opened(f)
    expect(await commitAttempt(f.records, commitOf(input, { owner: 'other' }))).toBe('fenced')
    expect(await commitAttempt(f.records, commitOf(input, { fileId: randomUUID() }))).toBe('fenced')
    expect(await commitAttempt(f.records, commitOf(input, { attemptId: randomUUID() }))).toBe('fenced')
    const end = { code: 'S3_TIMEOUT', class: 'transient-infrastructure', message: 'x', disposition: 'retry' } as const
    await failAttempt(f.records, { ...input, ...end })
    expect(await commitAttempt(f.records, commitOf(input))).toBe('fenced')
  })

  test('is fenced when a key of the attempt may no longer be used', async () => {
    const input = await opened(f)
    const { rows } = await f.sql.query<{ id: string }>('SELECT enc_key_id AS id FROM attempts WHERE id = $1', [
      input.attemptId,
    ])
    const id = rows[0]?.id
    const schedule = `UPDATE master_keys SET state = 'DESTROY_SCHEDULED', destroy_after = now() WHERE id = $1`
    await f.sql.query(
      `UPDATE master_keys SET state = 'DECRYPT_ONLY', retired_at = now() WHERE id = $1 AND state = 'ACTIVE'`,
      [id],
    )
    await f.sql.query(schedule, [id])
    expect(await commitAttempt(f.records, commitOf(input))).toBe('fenced')
    await f.sql.query(`UPDATE master_keys SET state = 'DECRYPT_ONLY' WHERE id = $1`, [id])
    expect(await commitAttempt(f.records, commitOf(input))).toBe('committed')
  })

  test('waits for a key that is being destroyed, and then does not commit', async () => {
    const enc = await addKey(f.records, 'enc', 3)
    const job = request()
    await claimFile(f.records, job)
    const input = attempt(f, job, { encKeyId: enc.id })
    await openAttempt(f.records, input)
    await addKey(f.records, 'enc', 4)
    const officer = await f.sql.connect()
    await officer.query('BEGIN')
    await officer.query(`UPDATE master_keys SET state = 'DESTROY_SCHEDULED', destroy_after = now() WHERE id = $1`, [
      enc.id,
    ])
    const commit = commitAttempt(f.records, commitOf(input))
    await blockedBackend(f)
    await officer.query('COMMIT')
    officer.release()
    expect(await commit).toBe('fenced')
    expect((await getFile(f.records, job.fileId))?.file.state).toBe('RUNNING')
  })

  test('goes through together with a renewal that got in between', async () => {
    const input = await opened(f)
    const [renewed, committed] = await Promise.all([
      renewLease(f.records, { ...input, leaseSeconds: 60 }),
      commitAttempt(f.records, commitOf(input)),
    ])
    expect(committed).toBe('committed')
    expect(typeof renewed).toBe('boolean')
  })

  test.each([
    ['a length that the format cannot have', { objectLength: 452 }, 'attempts_lengths'],
    ['a short tag', { htag: randomBytes(31) }, 'attempts_tag_size'],
    ['neither version nor ETag', { objectVersion: undefined, etag: undefined }, 'attempts_committed_is_whole'],
  ])('refuses %s and leaves the file running', async (_, over, constraint) => {
    const input = await opened(f)
    await expect(commitAttempt(f.records, commitOf(input, over))).rejects.toMatchObject({ code: 'INVALID', constraint })
    expect((await getFile(f.records, input.fileId))?.file.state).toBe('RUNNING')
  })

  test('needs no version where the store has none', async () => {
    const input = await opened(f)
    expect(await commitAttempt(f.records, commitOf(input, { objectVersion: undefined }))).toBe('committed')
    expect((await getFile(f.records, input.fileId))?.committed).toMatchObject({ objectVersion: null, etag: '"etag"' })
  })
})

/** The id of the one KEK, made on first use. */
async function kekId(): Promise<string> {
  const { key } = await registerMasterKey(f.records, {
    ref: { role: 'kek', domain: 'default', suite: 1, version: 1 },
    checkRecord: randomBytes(92),
  })
  await f.sql.query(
    `UPDATE master_keys SET state = 'ACTIVE', activated_at = now() WHERE id = $1 AND state = 'PENDING'`,
    [key.id],
  )
  return key.id
}

/** Resolves when a statement of the records waits for a lock. */
async function blockedBackend(fixture: Fixture): Promise<void> {
  for (;;) {
    const { rows } = await fixture.sql.query(
      `SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND application_name = 'sealfleet'`,
      [fixture.name],
    )
    if (rows.length > 0) return
  }
}

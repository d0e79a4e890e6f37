import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { abandonAttempt, listOrphanedAttempts } from '../src/attempts/abandon-attempt.js'
import { attemptOwners } from '../src/attempts/attempt-owners.js'
import { claimRekeyItem } from '../src/rekey/claim-rekey-item.js'
import { commitRekey } from '../src/rekey/commit-rekey.js'
import { fileBalance } from '../src/files/counts.js'
import { endRekeyItem } from '../src/rekey/end-rekey-item.js'
import { failedRekeyItems, rekeyCounts } from '../src/rekey/rekey-counts.js'
import { getFile } from '../src/files/get-file.js'
import { getRekeyRun } from '../src/rekey/rekey-runs.js'
import { renewRekeyLease } from '../src/rekey/renew-rekey-lease.js'
import { retryRekeyItems } from '../src/rekey/retry-rekey-items.js'
import { createRekeyItems } from '../src/rekey/create-rekey-items.js'
import { traceFile } from '../src/files/trace-file.js'
import type { DueItem } from '../src/rekey/dispatch-rekey-items.js'
import {
  claimed,
  domain,
  domainOfItsOwn,
  f,
  given,
  leaseOver,
  openNew,
  rotate,
  seeded,
  start,
  stored,
} from './rekeying.js'

domainOfItsOwn()

describe('an item', () => {
  let item: DueItem
  let file: { fileId: string; attemptId: string }
  let runId: string
  beforeEach(async () => {
    file = await stored()
    await rotate(2)
    runId = (await start()).id
    const [first] = await seeded(runId)
    if (first === undefined) throw new Error('no item')
    item = first
  })

  test('exchanges the committed attempt while the file stays STORED; a lost answer is recognised', async () => {
    const claim = await claimed(item.id)
    expect(claim).toMatchObject({ ...{ fileId: file.fileId, oldAttemptId: file.attemptId, attemptNo: 2, tries: 0 } })
    const { commit } = await openNew(claim)
    expect(await commitRekey(f.records, commit)).toBe('committed')
    expect(await commitRekey(f.records, commit)).toBe('already')
    const trace = await traceFile(f.records, file.fileId)
    expect(trace?.file).toMatchObject({ state: 'STORED', committedAttemptId: commit.attemptId, lastAttemptNo: 2 })
    expect(trace?.attempts.map(({ state, encKeyVersion }) => [state, encKeyVersion])).toEqual([
      ['SUPERSEDED', 1],
      ['COMMITTED', 2],
    ])
    const { rows } = await f.sql.query('SELECT superseded_at FROM attempts WHERE id = $1', [file.attemptId])
    expect(rows).toEqual([{ superseded_at: expect.any(Date) as Date }])
    expect((await rekeyCounts(f.records, runId)).items).toMatchObject({ DONE: 1, QUEUED: 0 })
    expect(await fileBalance(f.records)).toMatchObject({ difference: 0, strayCommits: 0 })
    expect(await claimRekeyItem(f.records, { itemId: item.id, owner: 'late', leaseSeconds: 60 })).toEqual({
      outcome: 'over',
      state: 'DONE',
    })
  })

  test('is one worker’s at a time; when its lease has run out another takes it, and the first may not commit', async () => {
    const first = await claimed(item.id, 'one', 0.3)
    const { commit } = await openNew(first)
    expect(await claimRekeyItem(f.records, { itemId: item.id, owner: 'two', leaseSeconds: 60 })).toMatchObject({
      outcome: 'leased',
    })
    expect(await renewRekeyLease(f.records, { ...first, owner: 'two', leaseSeconds: 60 })).toBe(false)
    await leaseOver(item.id)
    expect(await renewRekeyLease(f.records, { ...first, owner: 'one', leaseSeconds: 60 })).toBe(false)
    expect(await commitRekey(f.records, commit)).toBe('fenced')
    const second = await claimed(item.id, 'two')
    expect(second).toMatchObject({ attemptNo: 3, tries: 1 })
    expect(await commitRekey(f.records, commit)).toBe('fenced')
    const { attempts, failures } = (await traceFile(f.records, file.fileId))!
    expect(attempts[1]).toMatchObject({ id: commit.attemptId, state: 'ABANDONED', failureCode: 'WORKER_DIED' })
    expect(failures).toMatchObject([{ attemptNo: 2, attemptId: commit.attemptId, owner: 'one', code: 'WORKER_DIED' }])
    const next = await openNew(second, 'two')
    expect(await commitRekey(f.records, next.commit)).toBe('committed')
    expect(await commitRekey(f.records, commit)).toBe('fenced')
    expect((await getFile(f.records, file.fileId))?.committed?.id).toBe(next.commit.attemptId)
  })

  test('of two commits under one lease one wins', async () => {
    const claim = await claimed(item.id)
    const { commit } = await openNew(claim)
    const both = await Promise.all([commitRekey(f.records, commit), commitRekey(f.records, commit)])
    expect(both.sort()).toEqual(['already', 'committed'])
  })

  test('may not commit another length, nor under a key that is to be destroyed', async () => {
    const { commit } = await openNew(await claimed(item.id))
    expect(await commitRekey(f.records, { ...commit, plaintextLength: 4, objectLength: 452 })).toBe('fenced')
    const gone = `UPDATE master_keys SET state = 'DECRYPT_ONLY', retired_at = now() WHERE domain_id = $1 AND version = 2`
    await f.sql.query(gone, [domain])
    await f.sql.query(
      `UPDATE master_keys SET state = 'DESTROY_SCHEDULED', destroy_after = now() WHERE domain_id = $1 AND version = 2 AND role = 'ENC'`,
      [domain],
    )
    expect(await commitRekey(f.records, commit)).toBe('fenced')
    expect((await getFile(f.records, file.fileId))?.committed?.id).toBe(file.attemptId)
  })

  test('is skipped when the file is gone, or under another version already', async () => {
    await f.sql.query(
      `UPDATE files SET state = 'DELETED', deleted_at = now(), deleted_by = 'x', deletion = 'REMOVED' WHERE id = $1`,
      [file.fileId],
    )
    const outcome = await claimRekeyItem(f.records, { itemId: item.id, owner: 'one', leaseSeconds: 60 })
    expect(outcome).toEqual({ outcome: 'over', state: 'SKIPPED' })
    expect((await getFile(f.records, file.fileId))?.file.lastAttemptNo).toBe(1)
    expect(await createRekeyItems(f.records, runId, 'test')).toBe('done')
  })

  test('a file is sealed again by one run at a time', async () => {
    await claimed(item.id)
    const other = randomUUID()
    await f.sql.query(`INSERT INTO rekey_runs (id, domain_id, from_version, created_by) VALUES ($1, $2, 7, 'other')`, [
      other,
      domain,
    ])
    await expect(
      f.sql.query(
        `INSERT INTO rekey_items (id, run_id, file_id, state, lease_owner, lease_expires_at) VALUES (gen_random_uuid(), $1, $2, 'RUNNING', 'x', now())`,
        [other, file.fileId],
      ),
    ).rejects.toMatchObject({ constraint: 'rekey_items_one_running' })
  })

  test('whose try failed is tried again later or is over, and its attempt is left to the sweep', async () => {
    const end = { code: 'E_SEGMENT_AUTH', class: 'integrity', message: 'm', delaySeconds: 0 } as const
    const first = await claimed(item.id)
    const { input } = await openNew(first)
    const failed = { ...end, itemId: item.id, owner: 'one', attemptNo: first.attemptNo, disposition: 'retry' } as const
    expect(await endRekeyItem(f.records, failed)).toBe('recorded')
    expect(await endRekeyItem(f.records, failed)).toBe('recorded')
    expect(await given(runId)).toEqual([{ id: item.id, tries: 1 }])
    const second = await claimed(item.id, 'two')
    expect(await endRekeyItem(f.records, { ...failed, attemptNo: second.attemptNo, owner: 'else' })).toBe('fenced')
    await endRekeyItem(f.records, { ...failed, attemptNo: second.attemptNo, owner: 'two', disposition: 'fail' })
    expect(await failedRekeyItems(f.records, runId, 10)).toMatchObject([
      { code: 'E_SEGMENT_AUTH', tries: 2, fileId: file.fileId },
    ])
    const trace = await traceFile(f.records, file.fileId)
    expect(trace?.attempts.find(({ id }) => id === input.attemptId)).toMatchObject({ state: 'FAILED' })
    expect(trace?.file).toMatchObject({ state: 'STORED', committedAttemptId: file.attemptId })
    expect(trace?.failures.map(({ code }) => code)).toEqual(['E_SEGMENT_AUTH', 'E_SEGMENT_AUTH'])
    expect(await createRekeyItems(f.records, runId, 'test')).toBe('done')
    expect(await retryRekeyItems(f.records, runId)).toBe(1)
    expect(await getRekeyRun(f.records, runId)).toMatchObject({ state: 'ACTIVE', finishedAt: null })
    expect(await given(runId)).toEqual([{ id: item.id, tries: 0 }])
  })

  test('given back burns nothing', async () => {
    const claim = await claimed(item.id)
    const { input } = await openNew(claim)
    const back = {
      itemId: item.id,
      owner: 'one',
      attemptNo: claim.attemptNo,
      code: 'S3_UNAVAILABLE',
      class: 'x',
      message: 'm',
    }
    await endRekeyItem(f.records, { ...back, disposition: 'release', delaySeconds: 0 })
    expect(await given(runId)).toEqual([{ id: item.id, tries: 0 }])
    const attempts = (await traceFile(f.records, file.fileId))?.attempts
    expect(attempts?.find(({ id }) => id === input.attemptId)?.state).toBe('ABANDONED')
  })

  test('covers its attempt: maintenance abandons it only when the lease has run out', async () => {
    const claim = await claimed(item.id, 'one', 0.5)
    const { input } = await openNew(claim)
    const orphans = async () =>
      (await listOrphanedAttempts(f.records, { openedBefore: new Date(Date.now() + 60_000), limit: 1_000 })).map(
        ({ id }) => id,
      )
    const live = async () => (await attemptOwners(f.records, 'bucket', [input.attemptId])).get(input.attemptId)?.live
    const before = await fileBalance(f.records)
    expect([await live(), await abandonAttempt(f.records, input.attemptId)]).toEqual([true, false])
    expect(await orphans()).not.toContain(input.attemptId)
    await leaseOver(item.id)
    expect((await fileBalance(f.records)).orphanedAttempts).toBe(before.orphanedAttempts + 1)
    expect([await live(), (await orphans()).includes(input.attemptId)]).toEqual([false, true])
    expect(await abandonAttempt(f.records, input.attemptId)).toBe(true)
  })
})

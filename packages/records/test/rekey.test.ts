import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  abandonAttempt,
  activeKeys,
  assertRekeyable,
  attemptOwners,
  changeRekeyRun,
  claimFile,
  claimRekeyItem,
  commitAttempt,
  commitRekey,
  conservation,
  endRekeyItem,
  ensureDomain,
  failedRekeyItems,
  getFile,
  getRekeyRun,
  giveRekeyItems,
  listAudit,
  listOrphanedAttempts,
  openAttempt,
  openRekeyAttempt,
  rekeyCounts,
  rekeyScope,
  renewRekeyLease,
  retryRekeyItems,
  seedRekeyItems,
  startRekeyRun,
  traceFile,
  type DueItem,
  type RekeyClaim,
} from '../src/index.js'
import { addKey, attempt, commitOf, nonceIdOf, openFixture, type Fixture } from './support.js'

let f: Fixture
let domain: string
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

/** A domain of its own, with keys of version 1. */
beforeEach(async () => {
  domain = randomUUID()
  await ensureDomain(f.records, { id: domain })
  await rotate(1)
})

async function rotate(version: number): Promise<void> {
  for (const role of ['enc', 'sig'] as const) await addKey(f.records, role, version, domain)
}

/** An ingest under the keys of now, up to its open attempt. */
async function underWay() {
  const keys = await activeKeys(f.records, domain)
  const claim = { fileId: randomUUID(), owner: `w-${randomUUID()}` }
  await claimFile(f.records, {
    ...claim,
    domain,
    source: { root: 'in', path: 'x' },
    context: Buffer.alloc(0),
    fingerprint: randomBytes(32),
    leaseSeconds: 60,
  })
  const attemptId = randomUUID()
  const input = attempt(f, claim, {
    attemptId,
    encKeyId: keys.enc.id,
    sigKeyId: keys.sig.id,
    objectKey: `${domain}/${claim.fileId}/${attemptId}`,
  })
  await openAttempt(f.records, input)
  return input
}

async function stored(): Promise<{ fileId: string; attemptId: string }> {
  const input = await underWay()
  expect(await commitAttempt(f.records, commitOf(input))).toBe('committed')
  return input
}

const start = async (rate?: number) =>
  (await startRekeyRun(f.records, { domain, fromVersion: 1, filesPerSecond: rate, createdBy: 'test' })).run

/** All items that the run would give now. */
async function given(runId: string, o: { limit?: number; lostAfterSeconds?: number } = {}): Promise<DueItem[]> {
  const items: DueItem[] = []
  await giveRekeyItems(f.records, runId, (some) => Promise.resolve(items.push(...some)), {
    limit: o.limit ?? 1_000,
    lostAfterSeconds: o.lostAfterSeconds ?? 60,
  })
  return items
}

async function seeded(runId: string): Promise<DueItem[]> {
  expect(await seedRekeyItems(f.records, runId, 'test')).toBe('seeded')
  return given(runId)
}

async function claimed(itemId: string, owner = 'one', leaseSeconds = 60): Promise<RekeyClaim> {
  const outcome = await claimRekeyItem(f.records, { itemId, owner, leaseSeconds })
  if (outcome.outcome !== 'claimed') throw new Error(outcome.outcome)
  return outcome
}

async function openNew(claim: RekeyClaim, owner = 'one') {
  const keys = await activeKeys(f.records, domain)
  const attemptId = randomUUID()
  const nonces = { nonceEnc: randomBytes(32), nonceSig: randomBytes(32) }
  const input = {
    ...nonces,
    itemId: claim.itemId,
    oldAttemptId: claim.oldAttemptId,
    fileId: claim.fileId,
    attemptNo: claim.attemptNo,
    owner,
    attemptId,
    encKeyId: keys.enc.id,
    sigKeyId: keys.sig.id,
    nonceIdEnc: nonceIdOf(nonces.nonceEnc),
    nonceIdSig: nonceIdOf(nonces.nonceSig),
    suite: 1,
    segLog2: 20,
    bucket: 'bucket',
    objectKey: `${domain}/${claim.fileId}/${attemptId}`,
  } as const
  await openRekeyAttempt(f.records, input)
  const commit = {
    itemId: claim.itemId,
    oldAttemptId: claim.oldAttemptId,
    fileId: claim.fileId,
    attemptId,
    owner,
    objectVersion: 'v2',
    etag: '"new"',
    objectLength: 451,
    plaintextLength: 3,
    htag: randomBytes(32),
    fmac: randomBytes(32),
  }
  return { input, commit }
}

/** Waits by the database's clock until an item's lease has run out. */
const leaseOver = (itemId: string) =>
  f.sql.query(
    `SELECT pg_sleep(greatest(0, extract(epoch FROM lease_expires_at - clock_timestamp()) + 0.005)) FROM rekey_items WHERE id = $1`,
    [itemId],
  )

describe('a run', () => {
  test('is refused while the version is active in a role, unknown, or nothing is active', async () => {
    await expect(start()).rejects.toMatchObject({ code: 'BAD_STATE' })
    await addKey(f.records, 'enc', 2, domain)
    await expect(start()).rejects.toMatchObject({
      code: 'BAD_STATE',
      message: expect.stringContaining('sig') as string,
    })
    await expect(assertRekeyable(f.records, { domain, fromVersion: 9 })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await addKey(f.records, 'sig', 2, domain)
    await f.sql.query(
      `UPDATE master_keys SET state = 'DECRYPT_ONLY', retired_at = now() WHERE domain_id = $1 AND role = 'ENC' AND version = 2`,
      [domain],
    )
    await expect(start()).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY' })
  })

  test('is one for a domain and version: starting it again resumes it, and may set its rate', async () => {
    await rotate(2)
    const first = await start(5)
    await changeRekeyRun(f.records, first.id, 'pause')
    const again = await startRekeyRun(f.records, { domain, fromVersion: 1, createdBy: 'x' })
    expect(again).toMatchObject({ created: false, run: { id: first.id, state: 'ACTIVE', filesPerSecond: 5 } })
    expect((await start(7)).filesPerSecond).toBe(7)
  })

  test('takes the files under its version, and nothing of other domains or versions', async () => {
    const old = [await stored(), await stored()]
    await rotate(2)
    await stored()
    expect(await rekeyScope(f.records, domain, 1)).toEqual({ files: 2, bytes: 6, lost: 0 })
    const run = await start()
    const items = await seeded(run.id)
    expect(items).toHaveLength(2)
    const claims = await Promise.all(items.map(({ id }) => claimed(id)))
    expect(claims.map(({ fileId }) => fileId).sort()).toEqual(old.map(({ fileId }) => fileId).sort())
    expect(claims.map(({ attemptNo }) => attemptNo)).toEqual([2, 2])
  })

  test('without a file is done after one more look; with an ingest under way under its version only when that has ended', async () => {
    const late = await underWay()
    await rotate(2)
    const run = await start()
    expect(await seedRekeyItems(f.records, run.id, 'test')).toBe('seeded')
    expect(await seedRekeyItems(f.records, run.id, 'test')).toBe('seeded')
    expect(await commitAttempt(f.records, commitOf(late))).toBe('committed')
    // The last look finds what was committed under the old version after the first pass.
    expect(await seedRekeyItems(f.records, run.id, 'test')).toBe('seeded')
    const [item] = await given(run.id)
    const { commit } = await openNew(await claimed(item?.id ?? ''))
    expect(await commitRekey(f.records, commit)).toBe('committed')
    expect(await seedRekeyItems(f.records, run.id, 'test')).toBe('done')
    expect(await getRekeyRun(f.records, run.id)).toMatchObject({ state: 'DONE' })
    const audit = await listAudit(f.records, { subjectKind: 'rekey-run', subjectId: run.id })
    expect(audit.map(({ action }) => action)).toEqual(['rekey.done'])
  })

  test('gives no more jobs than its rate in any window, and at most the limit', async () => {
    for (let i = 0; i < 8; i++) await stored()
    await rotate(2)
    const run = await start(2)
    await seedRekeyItems(f.records, run.id, 'test')
    expect(await given(run.id, { limit: 3 })).toHaveLength(3)
    expect(await given(run.id)).toHaveLength(1)
    expect(await given(run.id)).toHaveLength(0)
    await f.sql.query(`UPDATE rekey_items SET queued_at = queued_at - interval '3 seconds' WHERE run_id = $1`, [run.id])
    expect(await given(run.id)).toHaveLength(4)
  })

  test('gives an item again when its job is lost, not before', async () => {
    await stored()
    await rotate(2)
    const run = await start()
    const [item] = await seeded(run.id)
    expect(await given(run.id)).toEqual([])
    await f.sql.query(`UPDATE rekey_items SET queued_at = queued_at - interval '61 seconds' WHERE id = $1`, [item?.id])
    expect(await given(run.id)).toEqual([item])
    await claimed(item?.id ?? '', 'gone', 0.2)
    await leaseOver(item?.id ?? '')
    await f.sql.query(
      `UPDATE rekey_items SET queued_at = queued_at - interval '61 seconds', lease_expires_at = lease_expires_at - interval '61 seconds' WHERE id = $1`,
      [item?.id],
    )
    expect(await given(run.id)).toHaveLength(1)
  })

  test('that is paused or cancelled lets nobody begin; resumed, its items are due at once', async () => {
    await stored()
    await rotate(2)
    const run = await start()
    const [item] = await seeded(run.id)
    const ask = () => claimRekeyItem(f.records, { itemId: item?.id ?? '', owner: 'one', leaseSeconds: 60 })
    expect((await changeRekeyRun(f.records, run.id, 'pause')).changed).toBe(true)
    expect((await changeRekeyRun(f.records, run.id, 'pause')).changed).toBe(false)
    expect(await ask()).toEqual({ outcome: 'halted' })
    expect(await given(run.id)).toEqual([])
    await changeRekeyRun(f.records, run.id, 'resume')
    expect(await given(run.id)).toEqual([item])
    await changeRekeyRun(f.records, run.id, 'cancel')
    expect(await ask()).toEqual({ outcome: 'halted' })
    await expect(changeRekeyRun(f.records, run.id, 'resume')).rejects.toMatchObject({ code: 'BAD_STATE' })
    await expect(retryRekeyItems(f.records, run.id)).rejects.toMatchObject({ code: 'BAD_STATE' })
    expect(await seedRekeyItems(f.records, run.id, 'test')).toBe('idle')
    // The version is free for another run.
    expect((await start()).id).not.toBe(run.id)
  })
})

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
    expect(await conservation(f.records)).toMatchObject({ difference: 0, strayCommits: 0 })
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
    expect(await seedRekeyItems(f.records, runId, 'test')).toBe('done')
  })

  test('a file is sealed anew by one run at a time', async () => {
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
    expect(await seedRekeyItems(f.records, runId, 'test')).toBe('done')
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
    const before = await conservation(f.records)
    expect([await live(), await abandonAttempt(f.records, input.attemptId)]).toEqual([true, false])
    expect(await orphans()).not.toContain(input.attemptId)
    await leaseOver(item.id)
    expect((await conservation(f.records)).orphanedAttempts).toBe(before.orphanedAttempts + 1)
    expect([await live(), (await orphans()).includes(input.attemptId)]).toEqual([false, true])
    expect(await abandonAttempt(f.records, input.attemptId)).toBe(true)
  })
})

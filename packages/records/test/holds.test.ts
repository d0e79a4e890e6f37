import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { activeHolds } from '../src/deletion/active-holds.js'
import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { fileBalance } from '../src/files/counts.js'
import { countPastRetention, listPastRetention } from '../src/deletion/past-retention.js'
import { ensureDomain } from '../src/fleet/domains.js'
import { expireFiles } from '../src/deletion/expire-files.js'
import { getFile } from '../src/files/get-file.js'
import { listAudit } from '../src/audit/append-audit.js'
import { listHolds } from '../src/deletion/list-holds.js'
import { lockDomainForDeletion } from '../src/fleet/domain-lock.js'
import { placeHold } from '../src/deletion/place-hold.js'
import { releaseHold } from '../src/deletion/release-hold.js'
import { removeFile } from '../src/deletion/remove-file.js'
import { setDomain } from '../src/fleet/set-domain.js'
import { commitOf, gate, opened, openFixture, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

const ACTOR = 'cli:officer'

async function stored(): Promise<string> {
  const attempt = await opened(f)
  expect(await commitAttempt(f.records, commitOf(attempt))).toBe('committed')
  return attempt.fileId
}

const removal = (fileId: string) => ({ fileId, actor: ACTOR, reason: 'asked by its owner' })
const place = (fileId: string) => placeHold(f.records, { target: { fileId }, reason: 'lawsuit', actor: ACTOR })
const release = (id: string) => releaseHold(f.records, { id, reason: 'settled', actor: ACTOR })

describe('a hold', () => {
  test('on a file keeps that file alone, until it is released; both leave a row in the audit log', async () => {
    const [held, free] = [await stored(), await stored()]
    const hold = await place(held)
    expect(await removeFile(f.records, removal(held))).toMatchObject({ outcome: 'held', holds: [{ id: hold.id }] })
    expect(await removeFile(f.records, removal(free))).toEqual({ outcome: 'removed' })
    await release(hold.id)
    await expect(release(hold.id)).rejects.toMatchObject({ code: 'BAD_STATE' })
    await expect(release(randomUUID())).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(await removeFile(f.records, removal(held))).toEqual({ outcome: 'removed' })
    const audit = await listAudit(f.records, { subjectKind: 'file', subjectId: held })
    const deeds = audit.filter(({ action }) => action !== 'file.commit')
    expect(deeds.map(({ action, actor }) => `${action} ${actor}`)).toEqual([
      `holds.place ${ACTOR}`,
      `holds.release ${ACTOR}`,
      `files.remove ${ACTOR}`,
    ])
    expect(deeds.map(({ detail }) => (detail as { reason: string }).reason)).toEqual([
      'lawsuit',
      'settled',
      'asked by its owner',
    ])
  })

  test('on a domain keeps every file of it, also one that is stored later, and of no other domain', async () => {
    const domain = randomUUID()
    await ensureDomain(f.records, { id: domain, name: `tenant ${domain}` })
    const elsewhere = await stored()
    const other = await placeHold(f.records, { target: { domain }, reason: 'audit', actor: ACTOR })
    expect(await removeFile(f.records, removal(elsewhere))).toEqual({ outcome: 'removed' })
    const hold = await placeHold(f.records, { target: { domain: 'default' }, reason: 'audit', actor: ACTOR })
    const late = await stored()
    expect(await removeFile(f.records, removal(late))).toMatchObject({ outcome: 'held' })
    const inForce = await f.records.transaction((tx) => activeHolds(tx, { domain: 'default', fileId: late }))
    expect(inForce).toMatchObject([{ id: hold.id, fileId: null, reason: 'audit', placedBy: ACTOR }])
    expect((await listHolds(f.records)).map(({ id }) => id)).toEqual([other.id, hold.id])
    for (const { id } of [hold, other]) await release(id)
    expect(await listHolds(f.records)).toEqual([])
    expect((await listHolds(f.records, { domain, released: true })).map(({ id }) => id)).toEqual([other.id])
  })

  test('cannot be placed on what is gone, unknown, or without a reason', async () => {
    const gone = await stored()
    await removeFile(f.records, removal(gone))
    await expect(place(gone)).rejects.toMatchObject({ code: 'BAD_STATE' })
    await expect(place(randomUUID())).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const nowhere = { target: { domain: randomUUID() }, reason: 'x', actor: ACTOR }
    await expect(placeHold(f.records, nowhere)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const mute = { target: { domain: 'default' }, reason: ' ', actor: ACTOR }
    await expect(placeHold(f.records, mute)).rejects.toMatchObject({ code: 'INVALID' })
  })

  test('waits for a deletion under way, and a deletion for it: it is seen or comes after', async () => {
    const fileId = await stored()
    const locked = gate()
    const goOn = gate()
    const deletion = f.records.transaction(async (tx) => {
      await lockDomainForDeletion(tx, 'default')
      locked.open()
      await goOn.opened
    })
    await locked.opened
    let placed = false
    const placing = place(fileId).then((hold) => ((placed = true), hold))
    // It is waiting in the database, not still on its way there.
    await expect.poll(waiting, { timeout: 60_000 }).toBeGreaterThan(0)
    expect(placed).toBe(false)
    // Deletions do not wait for each other, nor files for them: their own is under way in another transaction.
    await claimFile(f.records, request())
    goOn.open()
    await deletion
    expect(await removeFile(f.records, removal(fileId))).toMatchObject({ outcome: 'held' })
    await release((await placing).id)
  })

  test('of many placed and deletions at once, a file is never both deleted and held', async () => {
    const files = await Promise.all(Array.from({ length: 24 }, stored))
    const outcomes = await Promise.all(
      files.map(async (fileId, i) => {
        const acts = [
          () => removeFile(f.records, removal(fileId)).then(({ outcome }) => outcome === 'removed'),
          () =>
            place(fileId).then(
              () => true,
              (error: unknown) => {
                expect(error).toMatchObject({ code: 'BAD_STATE' })
                return false
              },
            ),
        ]
        const [one, two] = i % 2 === 0 ? acts : acts.reverse()
        return Promise.all([one?.(), two?.()])
      }),
    )
    for (const [one, two] of outcomes) expect([one, two].filter(Boolean)).toHaveLength(1)
    for (const { id } of await listHolds(f.records)) await release(id)
  })
})

/** Backends of this database that wait for a lock. */
async function waiting(): Promise<number> {
  const { rows } = await f.sql.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  )
  return rows[0]?.n ?? 0
}

describe('a removed file', () => {
  test('stays as a tombstone that says when and by whom, names its attempt, and keeps the books balanced', async () => {
    const fileId = await stored()
    const before = await getFile(f.records, fileId)
    expect(await removeFile(f.records, removal(fileId))).toEqual({ outcome: 'removed' })
    expect(await removeFile(f.records, removal(fileId))).toEqual({ outcome: 'deleted' })
    const after = await getFile(f.records, fileId)
    expect(after?.committed).toBeNull()
    expect(after?.file).toMatchObject({
      state: 'DELETED',
      committedAttemptId: before?.committed?.id,
      deletion: { kind: 'REMOVED', by: ACTOR, sweptAt: null },
    })
    const again = { ...request(), fileId, fingerprint: before?.file.fingerprint ?? Buffer.alloc(0) }
    expect((await claimFile(f.records, again)).outcome).toBe('deleted')
    expect(await fileBalance(f.records)).toMatchObject({ difference: 0, strayCommits: 0, deadWithoutLetter: 0 })
  })

  test('was STORED: nothing else is removed, and of two at once one removes it', async () => {
    const running = await opened(f)
    expect(await removeFile(f.records, removal(running.fileId))).toEqual({ outcome: 'not-stored', state: 'RUNNING' })
    expect(await removeFile(f.records, removal(randomUUID()))).toEqual({ outcome: 'unknown' })
    const fileId = await stored()
    const both = await Promise.all([1, 2, 3].map(() => removeFile(f.records, removal(fileId))))
    expect(both.map(({ outcome }) => outcome).sort()).toEqual(['deleted', 'deleted', 'removed'])
    const mute = { ...removal(fileId), reason: '' }
    await expect(removeFile(f.records, mute)).rejects.toMatchObject({ code: 'INVALID' })
  })
})

describe('retention', () => {
  test('expires what is old enough and not held, the oldest first, in bounded batches', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, stored))
    const [young = '', held = '', ...old] = all
    // 30 days to the second: a boundary on both sides.
    await age(young, 30 * 86_400 - 60)
    for (const [i, id] of [held, ...old].entries()) await age(id, 31 * 86_400 + 100 - i)
    const retained = async () => (await countPastRetention(f.records, 'default'))[0]
    expect(await retained()).toBeUndefined()
    expect(await expireFiles(f.records, { domain: 'default', limit: 10, actor: ACTOR })).toEqual([])
    await f.records.transaction((tx) => setDomain(tx, 'default', { retentionDays: 30 }))
    const hold = await place(held)
    expect(await retained()).toMatchObject({ name: 'default', retentionDays: 30, due: 4, held: 1, dueBytes: 4 * 451 })
    const listed = await listPastRetention(f.records, { domain: 'default', limit: 2 })
    expect(listed.map(({ fileId, held: kept }) => [fileId, kept])).toEqual([
      [held, true],
      [old[0], false],
    ])
    const rest = await listPastRetention(f.records, { domain: 'default', limit: 10, after: listed[1] })
    expect(rest.map(({ fileId }) => fileId)).toEqual(old.slice(1))
    expect((await expireFiles(f.records, { domain: 'default', limit: 3, actor: ACTOR })).sort()).toEqual(
      old.slice(0, 3).sort(),
    )
    expect(await expireFiles(f.records, { domain: 'default', limit: 3, actor: ACTOR })).toEqual([old[3]])
    expect(await expireFiles(f.records, { domain: 'default', limit: 3, actor: ACTOR })).toEqual([])
    const states = await Promise.all([young, held].map((id) => getFile(f.records, id)))
    expect(states.map((found) => found?.file.state)).toEqual(['STORED', 'STORED'])
    const gone = await getFile(f.records, old[0] ?? '')
    expect(gone?.file.deletion).toMatchObject({ kind: 'EXPIRED', by: ACTOR })
    expect(await listAudit(f.records, { subjectKind: 'file', subjectId: old[0] ?? '' })).toMatchObject([
      { action: 'file.commit' },
      { action: 'files.expire', actor: ACTOR, detail: { retentionDays: 30 } },
    ])
    await release(hold.id)
    expect(await expireFiles(f.records, { domain: 'default', limit: 3, actor: ACTOR })).toEqual([held])
    expect(await fileBalance(f.records)).toMatchObject({ difference: 0, strayCommits: 0 })
  })

  test('several at once expire each file once', async () => {
    const files = await Promise.all(Array.from({ length: 10 }, stored))
    for (const id of files) await age(id, 40 * 86_400)
    const runs = await Promise.all(
      [1, 2, 3, 4].map(() => expireFiles(f.records, { domain: 'default', limit: 4, actor: ACTOR })),
    )
    const rest = await expireFiles(f.records, { domain: 'default', limit: 100, actor: ACTOR })
    expect([...runs.flat(), ...rest].sort()).toEqual([...files].sort())
  })
})

/** As if the file had been stored that many seconds ago. */
async function age(fileId: string, seconds: number): Promise<void> {
  await f.sql.query(`UPDATE files SET stored_at = clock_timestamp() - make_interval(secs => $2) WHERE id = $1`, [
    fileId,
    seconds,
  ])
}

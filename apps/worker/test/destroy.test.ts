import { randomBytes, randomUUID } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'

import { keyLabel, openKeyAdmin } from '@sealfleet/hsm'
import {
  cancelScheduled,
  carryOutDestruction,
  carryOutDue,
  lookAtKey,
  readCopy,
  requestDestruction,
  scheduleByRequest,
  verifyDestructionRecord,
} from '@sealfleet/maintenance'
import { listAudit, listDestructions, retireMasterKey, type KeyRow } from '@sealfleet/records'
import type { FreshToken } from '@sealfleet/testkit'
import { afterEach, expect, test } from 'vitest'

import { sealedObject } from '../../../packages/maintenance/test/sealed-header.js'
import { plantKey } from '../../../packages/hsm/test/plant-key.js'
import { ACTOR, openDestroyHouse, tokenOptionsOf, type DestroyHouse } from './destroy-house.js'

let house: DestroyHouse
afterEach(() => house?.[Symbol.asyncDispose]())

/** A house whose enc 1 only opens, nothing sealed under it. */
async function withOldKey(o: Parameters<typeof openDestroyHouse>[0] = {}): Promise<KeyRow> {
  house = await openDestroyHouse(o)
  await house.rotate('enc', 2)
  return house.key('enc', 1)
}

async function inToken(token: FreshToken, { label }: KeyRow): Promise<number> {
  await using admin = await openKeyAdmin(tokenOptionsOf(token))
  return (await admin.list()).filter((one) => one.label === label).length
}

async function everywhere(key: KeyRow): Promise<number[]> {
  return [await inToken(house.primary, key), await inToken(house.secondary, key)]
}

const terms = (shred: number | null = null) => ({ reason: 'r', backups: 'none', waitSeconds: 0, shred })
const hold = (fileId: string | null = null) =>
  house.sql.query(
    `INSERT INTO holds (id, domain_id, file_id, reason, placed_by) VALUES ($1, '00000000-0000-0000-0000-000000000000', $2, 'court', 'legal')`,
    [randomUUID(), fileId],
  )
const put = (key: string, body: Buffer) =>
  house.store.put({
    ...{ key, length: body.length, metadata: {} },
    body: (async function* () {
      yield await Promise.resolve(body)
    })(),
  })

test('a key goes from two signatures to a signed record: gone from both tokens, provable, and finished once', async () => {
  const key = await withOldKey()
  const planned = await house.schedule(key, { waitSeconds: 3 })
  expect(await house.key('enc', 1)).toMatchObject({ state: 'DESTROY_SCHEDULED', destroyAfter: planned.executeAfter })
  expect(await carryOutDestruction(house, planned.id, house.options)).toEqual({ outcome: 'left', why: 'early' })
  // Until then it still derives.
  expect(await house.pool.hmac(key, randomBytes(32))).toHaveLength(32)

  await house.sql.query(
    `SELECT pg_sleep(greatest(0, extract(epoch FROM execute_after - clock_timestamp()) + 0.005)) FROM destructions`,
  )
  expect(await carryOutDue(house, house.options)).toMatchObject({ due: 1, destroyed: 1, copied: 1, found: 0 })
  expect(await everywhere(key)).toEqual([0, 0])
  expect(await house.key('enc', 1)).toMatchObject({ state: 'DESTROYED' })
  await expect(house.pool.hmac(key, randomBytes(32))).rejects.toMatchObject({ code: 'E_KEY_UNKNOWN' })
  // The others are untouched.
  expect(await house.pool.hmac(await house.key('enc', 2), randomBytes(32))).toHaveLength(32)

  const copy = await readCopy(house.store, 'sealfleet-audit/destructions/sealfleet~default~enc~s1~1.json')
  const { record, label, auditKeyVersion } = await verifyDestructionRecord(house.pool, copy ?? Buffer.alloc(0))
  expect({ label, auditKeyVersion }).toEqual({ label: key.label, auditKeyVersion: 1 })
  expect(record).toMatchObject({
    key: { label: key.label, checkValue: key.checkValue?.toString('hex') },
    tokens: [
      { token: house.primary.label, was: 'destroyed', find: 0, derivation: 'E_KEY_UNKNOWN' },
      { token: house.secondary.label, was: 'destroyed', find: 0, derivation: 'E_KEY_UNKNOWN' },
    ],
    request: { id: planned.requestId, signatures: [{ name: 'ann' }, { name: 'bob' }] },
    backups: 'none',
    references: { lost: 0 },
  })
  expect(await carryOutDestruction(house, planned.id, house.options)).toEqual({ outcome: 'left', why: 'ended' })
  expect(await carryOutDue(house, house.options)).toMatchObject({ due: 0, copied: 0 })
  const audit = await listAudit(house.records, { subjectKind: 'key', subjectId: key.id })
  expect(audit.map(({ action }) => action)).toEqual(['keys.destroy.schedule', 'keys.destroy'])
})

test('an ACTIVE version, one that is destroyed, and a house without an audit key are refused at the start', async () => {
  house = await openDestroyHouse({ audit: false })
  await expect(lookAtKey(house, await house.key('enc', 1))).rejects.toMatchObject({ code: 'BAD_STATE' })
  await house.rotate('enc', 2)
  await expect(lookAtKey(house, await house.key('enc', 1))).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY' })
})

test('what the records know to need it stands in the way, by count and by name, until it is gone', async () => {
  house = await openDestroyHouse()
  const file = await house.file()
  const open = await house.begin()
  await house.rotate('enc', 2)
  const key = await house.key('enc', 1)
  const needs = await lookAtKey(house, key)
  expect(needs).toMatchObject({ database: { attempts: 2, open: 1, committed: 1, files: 2, lost: 1 }, lost: 1 })
  expect(needs.store).toMatchObject({ objects: 2, beyondRecords: 0, lost: 0 })
  expect(needs.first.map(({ attemptId }) => attemptId).sort()).toEqual([file.attemptId, open.attemptId].sort())
  await expect(requestDestruction(house, key, { terms: terms(), needs, actor: ACTOR })).rejects.toMatchObject({
    code: 'STILL_REFERENCED',
  })
  // The signing master is needed by the same files, and by none more.
  await retireMasterKey(house.records, { ref: { domain: 'default', role: 'sig' }, actor: ACTOR, reason: 'test' })
  expect((await lookAtKey(house, await house.key('sig', 1))).database.attempts).toBe(2)
})

test('a database that was set back shows nothing, and the headers in the store do', async () => {
  const key = await withOldKey()
  const fileId = randomUUID()
  await put(`default/${fileId}/${randomUUID()}`, sealedObject({ fileId, enc: 1 }))
  await put(`default/other`, sealedObject({ enc: 2 }))
  const needs = await lookAtKey(house, key)
  expect(needs).toMatchObject({
    database: { attempts: 0 },
    store: { looked: 2, objects: 1, beyondRecords: 1, lost: 1 },
    lost: 1,
  })
  expect(needs.first).toMatchObject([{ where: 'store', fileId, state: 'unknown' }])
  await expect(requestDestruction(house, key, { terms: terms(), needs, actor: ACTOR })).rejects.toMatchObject({
    code: 'STILL_REFERENCED',
  })
})

test('an object that comes to light after scheduling refuses at the end, and leaves the key whole', async () => {
  const key = await withOldKey()
  const { id } = await house.schedule(key)
  await put(`default/${randomUUID()}/${randomUUID()}`, sealedObject({ enc: 1 }))
  expect(await carryOutDue(house, house.options)).toMatchObject({
    refused: 1,
    found: 1,
    findings: [{ label: key.label, code: 'STILL_REFERENCED' }],
  })
  expect(await everywhere(key)).toEqual([1, 1])
  const [row] = await listDestructions(house.records, { id })
  expect(row).toMatchObject({ begunAt: null, carriedOutAt: null, lastRefusal: { code: 'STILL_REFERENCED' } })
})

test('a hold of the domain or of a file refuses, also one that is placed after scheduling', async () => {
  house = await openDestroyHouse()
  const { fileId } = await house.file()
  await house.rotate('enc', 2)
  const key = await house.key('enc', 1)
  await house.schedule(key, { shred: 1 })
  await hold(fileId)
  expect((await carryOutDue(house, house.options)).findings).toEqual([{ label: key.label, code: 'HELD' }])
  await house.sql.query(`UPDATE holds SET released_at = clock_timestamp(), released_by = 'legal'`)
  await hold()
  expect((await carryOutDue(house, house.options)).findings).toEqual([{ label: key.label, code: 'HELD' }])
  expect(await everywhere(key)).toEqual([1, 1])
  await house.sql.query(
    `UPDATE holds SET released_at = clock_timestamp(), released_by = 'legal' WHERE released_at IS NULL`,
  )
  expect(await carryOutDue(house, house.options)).toMatchObject({ destroyed: 1 })
})

test('a hold that is being placed while it is carried out is waited for, and wins', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  const client = await house.sql.connect()
  await client.query('BEGIN')
  await client.query(
    `INSERT INTO holds (id, domain_id, reason, placed_by) VALUES ($1, '00000000-0000-0000-0000-000000000000', 'court', 'legal')`,
    [randomUUID()],
  )
  const carrying = carryOutDue(house, house.options)
  await waitingForLock('holds')
  await client.query('COMMIT')
  client.release()
  expect((await carrying).findings).toEqual([{ label: key.label, code: 'HELD' }])
  expect(await everywhere(key)).toEqual([1, 1])
})

/** Resolves when a statement of this database waits for a lock of that table. */
async function waitingForLock(table: string): Promise<void> {
  for (;;) {
    const { rows } = await house.sql.query(
      `SELECT 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE NOT l.granted AND c.relname = $1
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [table],
    )
    if (rows.length > 0) return
  }
}

test('signatures: one is not enough, the same twice is one, an expired or foreign request is none', async () => {
  const key = await withOldKey()
  const needs = await lookAtKey(house, key)
  const [ann] = house.officers
  if (ann === undefined) throw new Error('nobody')
  const make = (o: object = {}) => requestDestruction(house, key, { terms: terms(), needs, actor: ACTOR, ...o })
  const use = (requestId: string, of = key) =>
    scheduleByRequest(house, of, { requestId, minWaitSeconds: 0, actor: ACTOR })

  const single = await make()
  await house.sign(single, [ann])
  await expect(use(single.id)).rejects.toMatchObject({ code: 'REQUEST_UNSIGNED' })
  await expect(house.sign(single, [ann])).rejects.toMatchObject({ code: 'OPERATOR_TWICE' })
  await expect(use(single.id)).rejects.toMatchObject({ code: 'REQUEST_UNSIGNED' })

  const brief = await make({ expiresSeconds: 1 })
  await house.sign(brief, house.officers)
  await house.sql.query(`SELECT pg_sleep_until($1::timestamptz + interval '5 ms')`, [brief.expiresAt])
  await expect(use(brief.id)).rejects.toMatchObject({ code: 'REQUEST_EXPIRED' })

  await house.rotate('enc', 3)
  const other = await make()
  await house.sign(other, house.officers)
  await expect(use(other.id, await house.key('enc', 2))).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
  expect((await house.key('enc', 1)).state).toBe('DECRYPT_ONLY')
  await use(other.id)
  await expect(use(other.id)).rejects.toMatchObject({ code: 'BAD_STATE' })
})

test('shredding loses what was signed for and no more; an attempt under way can not be committed any more', async () => {
  house = await openDestroyHouse()
  await house.file()
  const late = await house.begin()
  await house.rotate('enc', 2)
  const key = await house.key('enc', 1)
  const needs = await lookAtKey(house, key)
  expect(needs.lost).toBe(1)
  const few = await requestDestruction(house, key, { terms: terms(1), needs, actor: ACTOR })
  await house.sign(few, house.officers)
  await put(`default/${randomUUID()}/${randomUUID()}`, sealedObject({ enc: 1 }))
  const use = (requestId: string) => scheduleByRequest(house, key, { requestId, minWaitSeconds: 0, actor: ACTOR })
  await expect(use(few.id)).rejects.toMatchObject({ code: 'STILL_REFERENCED' })
  // Refused, it was not used up.
  const again = await lookAtKey(house, key)
  const enough = await requestDestruction(house, key, { terms: terms(again.lost), needs: again, actor: ACTOR })
  await house.sign(enough, house.officers)
  await use(enough.id)
  expect(await late.commit()).toBe('fenced')
  expect(await carryOutDue(house, house.options)).toMatchObject({ destroyed: 1 })
  const [row] = await listDestructions(house.records, { keyId: key.id })
  expect(JSON.parse(String(row?.record))).toMatchObject({ shred: true, references: { lost: 2 } })
})

test('a commit that has the key’s row first is seen by the scheduling that waited for it', async () => {
  house = await openDestroyHouse()
  await house.rotate('enc', 2)
  const key = await house.key('enc', 1)
  const request = await requestDestruction(house, key, {
    terms: terms(),
    needs: await lookAtKey(house, key),
    actor: ACTOR,
  })
  await house.sign(request, house.officers)
  const client = await house.sql.connect()
  // As an attempt would that was opened under the old version a moment ago: it holds the row FOR SHARE until it commits.
  const other = await house.begin()
  await client.query('BEGIN')
  await client.query('SELECT 1 FROM master_keys WHERE id = $1 FOR SHARE', [key.id])
  const scheduling = scheduleByRequest(house, key, { requestId: request.id, minWaitSeconds: 0, actor: ACTOR })
  const outcome = scheduling.then(
    () => 'scheduled',
    (error: { code?: string }) => error.code,
  )
  for (;;) {
    const { rows } = await house.sql.query(
      `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%master_keys%FOR UPDATE%'`,
    )
    if (rows.length > 0) break
  }
  await client.query('SET session_replication_role = replica')
  await client.query('UPDATE attempts SET enc_key_id = $1 WHERE id = $2', [key.id, other.attemptId])
  await client.query('COMMIT')
  client.release(true)
  expect(await outcome).toBe('STILL_REFERENCED')
  expect((await house.key('enc', 1)).state).toBe('DECRYPT_ONLY')
})

test('cancelled before its time, it is as it was; the next one needs new signatures', async () => {
  const key = await withOldKey()
  const { requestId } = await house.schedule(key)
  const tokens = () => Promise.reject(new Error('nobody needs the tokens'))
  await cancelScheduled({ records: house.records, tokens }, key, { actor: ACTOR, reason: 'no' })
  expect((await house.key('enc', 1)).state).toBe('DECRYPT_ONLY')
  expect(await carryOutDue(house, house.options)).toMatchObject({ due: 0 })
  await expect(
    scheduleByRequest(house, key, { requestId: requestId ?? '', minWaitSeconds: 0, actor: ACTOR }),
  ).rejects.toMatchObject({ code: 'REQUEST_USED' })
  await expect(
    cancelScheduled({ records: house.records, tokens }, key, { actor: ACTOR, reason: 'no' }),
  ).rejects.toMatchObject({ code: 'BAD_STATE' })
})

test('of a cancellation and two that carry out at the same moment one wins, and the tokens agree with the records', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  const tokens = () => Promise.resolve(house.tokens)
  const [one, two, cancelled] = await Promise.allSettled([
    carryOutDue(house, house.options),
    carryOutDue(house, { ...house.options, actor: 'other' }),
    cancelScheduled({ records: house.records, tokens }, key, { actor: ACTOR, reason: 'race' }),
  ])
  const { state } = await house.key('enc', 1)
  const destroyed = [one, two].map((run) => (run.status === 'fulfilled' ? run.value.destroyed : -1))
  if (cancelled.status === 'fulfilled') {
    expect(destroyed).toEqual([0, 0])
    expect(state).toBe('DECRYPT_ONLY')
    expect(await everywhere(key)).toEqual([1, 1])
  } else {
    expect(destroyed.sort()).toEqual([0, 1])
    expect(state).toBe('DESTROYED')
    expect(await everywhere(key)).toEqual([0, 0])
  }
})

test('two maintenance processes destroy it once, with one record and one row', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  const runs = await Promise.all([carryOutDue(house, house.options), carryOutDue(house, house.options)])
  expect(runs.map(({ destroyed }) => destroyed).sort()).toEqual([0, 1])
  expect(runs.map(({ found }) => found)).toEqual([0, 0])
  const audit = await listAudit(house.records, { subjectKind: 'key', subjectId: key.id })
  expect(audit.filter(({ action }) => action === 'keys.destroy')).toHaveLength(1)
})

test('a token out of reach: nothing is destroyed anywhere, the refusal is written down, and the next try goes through', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  const tokens = join(house.secondary.dir, 'tokens')
  await rename(tokens, `${tokens}-away`)
  const report = await carryOutDue(house, house.options)
  expect(report).toMatchObject({ destroyed: 0, refused: 1, findings: [{ code: 'HSM_UNAVAILABLE' }] })
  expect(await inToken(house.primary, key)).toBe(1)
  const [row] = await listDestructions(house.records, { keyId: key.id })
  expect(row).toMatchObject({ begunAt: null, lastRefusal: { code: 'HSM_UNAVAILABLE' } })
  await rename(`${tokens}-away`, tokens)
  expect(await carryOutDue(house, house.options)).toMatchObject({ destroyed: 1 })
  expect(await everywhere(key)).toEqual([0, 0])
})

test('half destroyed, it can not be taken back and stays scheduled until the other token has let go too', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  const tokens = join(house.secondary.dir, 'tokens')
  const onStep = async (step: string): Promise<void> => {
    if (step === 'begun') await rename(tokens, `${tokens}-away`)
  }
  expect(await carryOutDue(house, { ...house.options, onStep })).toMatchObject({ destroyed: 0, refused: 1 })
  await rename(`${tokens}-away`, tokens)
  expect(await everywhere(key)).toEqual([0, 1])
  expect((await house.key('enc', 1)).state).toBe('DESTROY_SCHEDULED')
  const opened = () => Promise.resolve(house.tokens)
  await expect(
    cancelScheduled({ records: house.records, tokens: opened }, key, { actor: ACTOR, reason: 'too late' }),
  ).rejects.toMatchObject({ code: 'BAD_STATE' })
  expect(await carryOutDue(house, house.options)).toMatchObject({ destroyed: 1 })
  expect(await everywhere(key)).toEqual([0, 0])
  const [row] = await listDestructions(house.records, { keyId: key.id })
  expect(JSON.parse(String(row?.record))).toMatchObject({ tokens: [{ was: 'absent' }, { was: 'destroyed' }] })
})

test('begun and stopped before any token was told, it can still be taken back once the tokens have been asked', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  const onStep = (): void => {
    throw new Error('stopped')
  }
  expect(await carryOutDue(house, { ...house.options, onStep })).toMatchObject({ refused: 1 })
  const opened = () => Promise.resolve(house.tokens)
  await cancelScheduled({ records: house.records, tokens: opened }, key, { actor: ACTOR, reason: 'in time' })
  expect((await house.key('enc', 1)).state).toBe('DECRYPT_ONLY')
  expect(await everywhere(key)).toEqual([1, 1])
})

test.each(['begun', 'proved', 'committed'])('killed at the step "%s", it is finished by the next run', async (step) => {
  const key = await withOldKey()
  await house.schedule(key)
  const script = join(import.meta.dirname, 'doomed-destroyer.mjs')
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, ...house.primary.env, DOOMED: JSON.stringify({ ...(house.settings as object), step }) },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  expect(signal).toBe('SIGKILL')
  const gone = step === 'begun' ? [1, 1] : [0, 0]
  expect(await everywhere(key)).toEqual(gone)
  expect((await house.key('enc', 1)).state).toBe(step === 'committed' ? 'DESTROYED' : 'DESTROY_SCHEDULED')
  await lockFree(key)
  expect(await carryOutDue(house, house.options)).toMatchObject({ refused: 0, copied: 1, found: 0 })
  expect((await house.key('enc', 1)).state).toBe('DESTROYED')
  expect(await everywhere(key)).toEqual([0, 0])
})

/** Resolves when the server has noticed that the dead process's transaction is over. */
async function lockFree(key: KeyRow): Promise<void> {
  await house.sql.query('SELECT 1 FROM master_keys WHERE id = $1 FOR UPDATE', [key.id])
}

test('another key under the right label, and a token that is none of ours, destroy nothing', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  {
    await using admin = await openKeyAdmin(tokenOptionsOf(house.secondary))
    await admin.destroy(key)
  }
  await plantKey(house.secondary, keyLabel(key))
  expect((await carryOutDue(house, house.options)).findings).toEqual([{ label: key.label, code: 'KEY_MISMATCH' }])
  {
    await using admin = await openKeyAdmin(tokenOptionsOf(house.secondary))
    for (const { ref, ckaId } of await admin.list()) await admin.destroy(ref, { ckaId })
  }
  expect((await carryOutDue(house, house.options)).findings).toEqual([{ label: key.label, code: 'KEY_MISMATCH' }])
  expect(await inToken(house.primary, key)).toBe(1)
})

test('a record whose copy fails is copied later; one that was changed by a byte verifies nowhere', async () => {
  const key = await withOldKey()
  const { id } = await house.schedule(key)
  const result = await carryOutDestruction(house, id, house.options)
  expect(result.outcome).toBe('destroyed')
  expect((await listDestructions(house.records, { only: 'uncopied' })).length).toBe(1)
  expect(await carryOutDue(house, house.options)).toMatchObject({ due: 0, copied: 1 })
  const copy =
    (await readCopy(house.store, 'sealfleet-audit/destructions/sealfleet~default~enc~s1~1.json')) ?? Buffer.of()
  const whole = JSON.parse(copy.toString()) as { record: string; mac: string; auditKeyVersion: number; v: number }
  const record = Buffer.from(whole.record, 'base64').toString()
  const write = (changed: object): Buffer => {
    const all: Record<string, unknown> = { ...whole, ...changed }
    return Buffer.from(
      JSON.stringify(
        Object.fromEntries(
          Object.keys(all)
            .sort()
            .map((name) => [name, all[name]]),
        ),
      ),
    )
  }
  expect(write({})).toEqual(copy)
  const forged = Buffer.from(record.replace('"backups":"none"', '"backups":"some"')).toString('base64')
  for (const bytes of [
    write({ record: forged }),
    write({ mac: randomBytes(32).toString('base64') }),
    Buffer.from('{}'),
  ])
    await expect(verifyDestructionRecord(house.pool, bytes)).rejects.toMatchObject({ code: 'DESTRUCTION_UNPROVEN' })
})

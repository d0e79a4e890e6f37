import { randomBytes, randomUUID } from 'node:crypto'
import { keyLabel } from '@sealfleet/format'
import { openKeyAdmin } from '@sealfleet/hsm'
import {
  cancelScheduled,
  carryOutDestruction,
  carryOutDue,
  lookAtKey,
  readDestructionCopy,
  scheduleByRequest,
  verifyDestructionRecord,
} from '@sealfleet/keys'
import { listAudit } from '@sealfleet/records/audit'
import { listDestructions, retireMasterKey } from '@sealfleet/records/keys'
import { longTest } from '@sealfleet/testkit'
import { expect, test } from 'vitest'
import { sealedObject } from '../../../packages/objects/test/sealed-header.js'
import { plantKey } from '../../../packages/hsm/test/plant-key.js'
import { tokenOptions } from '@sealfleet/testkit/fleet'
import { ACTOR, requestDestruction } from './destroy-house.js'
import { aHouseEach, everywhere, house, inToken, openHouse, put, terms, withOldKey } from './destroying.js'

aHouseEach()

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

  const copy = await readDestructionCopy(house.store, 'sealfleet-audit/destructions/sealfleet~default~enc~s1~1.json')
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
  await openHouse({ audit: false })
  await expect(lookAtKey(house, await house.key('enc', 1))).rejects.toMatchObject({ code: 'BAD_STATE' })
  await house.rotate('enc', 2)
  await expect(lookAtKey(house, await house.key('enc', 1))).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY' })
})

test('what the records know to need it stands in the way, by count and by name, until it is gone', async () => {
  await openHouse()
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

longTest('a database that was set back shows nothing, and the headers in the store do', async () => {
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

longTest(
  'files that only the store knows are counted once each, wherever their objects lie, also page by page',
  async () => {
    const key = await withOldKey()
    const files = Array.from({ length: 7 }, () => randomUUID())
    for (const fileId of files) {
      await put(`default/${fileId}/${randomUUID()}`, sealedObject({ fileId, enc: 1 }))
      await put(`default/${fileId}/${randomUUID()}`, sealedObject({ fileId, enc: 1 }))
      await put(`copies/${randomUUID()}`, sealedObject({ fileId, enc: 1 }))
    }
    for (const idsInMemory of [1, 2, 3, undefined])
      expect((await lookAtKey(house, key, { idsInMemory })).store, `${idsInMemory}`).toMatchObject({
        beyondRecords: 21,
        lost: 7,
      })
  },
)

longTest('an object that comes to light after scheduling refuses at the end, and leaves the key whole', async () => {
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

/** Resolves when a statement of this database waits for a lock of that table. */

longTest('signatures: one is not enough, the same twice is one, an expired or foreign request is none', async () => {
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

test('shredding loses what was signed for and no more; an attempt under way cannot be committed any more', async () => {
  await openHouse()
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

longTest('cancelled before its time, it is as it was; the next one needs new signatures', async () => {
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

/** Resolves when the server has noticed that the dead process's transaction is over. */

longTest('another key under the right label, and a token that is none of ours, destroy nothing', async () => {
  const key = await withOldKey()
  await house.schedule(key)
  {
    await using admin = await openKeyAdmin(tokenOptions(house.secondary))
    await admin.destroy(key)
  }
  await plantKey(house.secondary, keyLabel(key))
  expect((await carryOutDue(house, house.options)).findings).toEqual([{ label: key.label, code: 'KEY_MISMATCH' }])
  {
    await using admin = await openKeyAdmin(tokenOptions(house.secondary))
    for (const { ref, ckaId } of await admin.list()) await admin.destroy(ref, { ckaId })
  }
  expect((await carryOutDue(house, house.options)).findings).toEqual([{ label: key.label, code: 'KEY_MISMATCH' }])
  expect(await inToken(house.primary, key)).toBe(1)
})

longTest('a record whose copy fails is copied later; one that was changed by a byte verifies nowhere', async () => {
  const key = await withOldKey()
  const { id } = await house.schedule(key)
  const result = await carryOutDestruction(house, id, house.options)
  expect(result.outcome).toBe('destroyed')
  expect((await listDestructions(house.records, { only: 'uncopied' })).length).toBe(1)
  expect(await carryOutDue(house, house.options)).toMatchObject({ due: 0, copied: 1 })
  const copy =
    (await readDestructionCopy(house.store, 'sealfleet-audit/destructions/sealfleet~default~enc~s1~1.json')) ??
    Buffer.of()
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

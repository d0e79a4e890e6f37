import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  addOperator,
  enrolmentDetail,
  getOperator,
  listOperators,
  revocationDetail,
  revokeOperator,
  type NewOperator,
} from '../src/operators/operators.js'
import { consumeRequest } from '../src/operators/consume-request.js'
import { createRequest } from '../src/operators/requests.js'
import { listAudit } from '../src/audit/append-audit.js'
import { SUBJECT, ann, approve, ask, aud, bob, cyd, enrol, f, keys, withPeople } from './people.js'
import { openFixture } from './support.js'

withPeople()

describe('operators', () => {
  test('are enrolled freely up to two officers, then by two signatures', async () => {
    expect([ann, bob, cyd, aud].map(({ row }) => [row.role, row.requestId !== null])).toEqual([
      ['officer', false],
      ['officer', false],
      ['officer', true],
      ['auditor', true],
    ])
    await expect(enrol('dan')).rejects.toMatchObject({ code: 'REQUEST_NEEDED' })
    await expect(enrol('dan', { signers: [] })).rejects.toMatchObject({ code: 'REQUEST_UNSIGNED' })
    expect((await listOperators(f.records)).map(({ name }) => name)).toEqual(['ann', 'aud', 'bob', 'cyd'])
    const audit = await listAudit(f.records, { subjectKind: 'operator', subjectId: cyd.row.id })
    expect(audit).toMatchObject([{ action: 'operators.add', detail: { name: 'cyd', request: cyd.row.requestId } }])
  })

  test('are enrolled as signed: no other key, role or name', async () => {
    const { publicKey } = keys()
    const subject = { kind: 'operator', id: 'eve' }
    const detail = enrolmentDetail({ publicKey, role: 'auditor' })
    const made = await ask({ kind: 'operators.add', subject, detail })
    for (const signer of [ann, bob]) await approve(made, signer)
    const input = { name: 'eve', role: 'auditor', publicKey, enrolledBy: 'cli:root', requestId: made.id } as const
    const add = (over: Partial<NewOperator>) => f.records.transaction((tx) => addOperator(tx, { ...input, ...over }))
    for (const over of [{ publicKey: keys().publicKey }, { role: 'officer' as const }, { name: 'eva' }])
      await expect(add(over)).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
    await add({})
    await expect(add({ name: 'eva', publicKey: keys().publicKey })).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
  })

  test('have a name and a key that no one else has', async () => {
    const free = { role: 'officer', enrolledBy: 'cli:root' } as const
    const add = (name: string, publicKey: Uint8Array) =>
      f.records.transaction((tx) => addOperator(tx, { ...free, name, publicKey }))
    await expect(add('ann', keys().publicKey)).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(add('annie', ann.row.publicKey)).rejects.toMatchObject({ code: 'CONFLICT' })
    for (const name of ['', ' x', 'a\nb', randomUUID(), 'x'.repeat(101)])
      await expect(add(name, keys().publicKey)).rejects.toMatchObject({ code: 'INVALID' })
    await expect(add('zero', Buffer.alloc(32))).rejects.toMatchObject({ code: 'INVALID' })
  })

  test('of an empty house: of many enrolled at once without a signature, two are officers', async () => {
    await using other = await openFixture()
    const results = await Promise.allSettled([1, 2, 3, 4].map((n) => enrol(`officer ${n}`, { in: other })))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'REQUEST_NEEDED' })
  })

  test('are revoked by two signatures, their own signatures count no more, and two officers always stay', async () => {
    await using other = await openFixture()
    const [one, two] = [await enrol('one', { in: other }), await enrol('two', { in: other })]
    const revoke = (operator: string, requestId?: string) =>
      other.records.transaction((tx) =>
        revokeOperator(tx, { operator, requestId, revokedBy: 'cli:root', reason: 'left' }),
      )
    await expect(revoke('two')).rejects.toMatchObject({ code: 'OPERATOR_NEEDED' })
    const three = await enrol('three', { in: other, signers: [one, two] })
    await expect(revoke('two')).rejects.toMatchObject({ code: 'REQUEST_NEEDED' })
    const open = await createRequest(other.records, {
      kind: 'file.shred',
      subject: SUBJECT,
      detail: {},
      createdBy: 'cli:root',
    })
    for (const person of [one, two]) await approve(open, person, other)
    const request = await createRequest(other.records, {
      kind: 'operators.revoke',
      subject: { kind: 'operator', id: two.row.id },
      detail: revocationDetail(two.row, 'left'),
      createdBy: 'cli:root',
    })
    for (const person of [one, three]) await approve(request, person, other)
    await expect(revoke('three', request.id)).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
    expect(await revoke('two', request.id)).toMatchObject({ name: 'two', revokedBy: 'cli:root' })
    await expect(revoke('two', request.id)).rejects.toMatchObject({ code: 'OPERATOR_REVOKED' })
    await expect(revoke('nobody')).rejects.toMatchObject({ code: 'OPERATOR_UNKNOWN' })
    const used = () =>
      other.records.transaction((tx) =>
        consumeRequest(tx, { id: open.id, kind: 'file.shred', subject: SUBJECT, consumedBy: 'x' }),
      )
    await expect(used()).rejects.toMatchObject({
      code: 'REQUEST_UNSIGNED',
      message: expect.stringContaining('lacks 1') as unknown,
    })
    await approve(open, three, other)
    expect((await used()).signatures.map(({ operator, revoked }) => [operator, revoked])).toEqual([
      ['one', false],
      ['two', true],
      ['three', false],
    ])
    expect((await getOperator(other.records, two.row.id))?.revokedAt).toBeInstanceOf(Date)
    const again = await enrol('two', { in: other, signers: [one, three] })
    expect((await getOperator(other.records, 'two'))?.id).toBe(again.row.id)
  })

  test('are freely revoked before there are two officers: the wrong key of the first', async () => {
    await using other = await openFixture()
    await enrol('one', { in: other })
    await other.records.transaction((tx) =>
      revokeOperator(tx, { operator: 'one', revokedBy: 'x', reason: 'wrong key' }),
    )
    expect((await enrol('one', { in: other })).row.revokedAt).toBeNull()
  })
})

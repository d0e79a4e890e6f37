import { randomBytes, randomUUID, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { addSignature } from '../src/operators/add-signature.js'
import { cancelRequest, getRequest, listRequests } from '../src/operators/requests.js'
import { consumeRequest } from '../src/operators/consume-request.js'
import { listAudit } from '../src/audit/append-audit.js'
import { signedBytes } from '../src/operators/request-body.js'
import { SUBJECT, ann, approve, ask, aud, bob, cyd, f, use, withPeople } from './people.js'

withPeople()

async function expiry(id: string): Promise<void> {
  await f.sql.query(
    `SELECT pg_sleep(greatest(0, extract(epoch FROM expires_at - clock_timestamp()) + 0.005)) FROM requests WHERE id = $1`,
    [id],
  )
}

/** As someone who owns the tables may: no trigger stands in the way. */
async function tamper(sql: string, values: readonly unknown[]): Promise<void> {
  const client = await f.sql.connect()
  try {
    await client.query('BEGIN')
    await client.query(`SET LOCAL session_replication_role = replica`)
    await client.query(sql, [...values])
    await client.query('COMMIT')
  } finally {
    client.release()
  }
}

describe('signatures', () => {
  test('are each refused for a reason of its own', async () => {
    const made = await ask()
    const signature = sign(null, signedBytes(made.body), ann.key)
    const add = (over: { operator?: string; requestId?: string; signature?: Uint8Array }) =>
      addSignature(f.records, { requestId: made.id, operator: 'ann', signature, ...over })
    await expect(add({ operator: 'nobody' })).rejects.toMatchObject({ code: 'OPERATOR_UNKNOWN' })
    await expect(add({ requestId: randomUUID() })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(add({ operator: 'bob' })).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
    await expect(add({ signature: signature.subarray(1) })).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
    await expect(add({ signature: randomBytes(64) })).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
    await expect(add({ requestId: (await ask()).id })).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
    await expect(approve(made, aud)).rejects.toMatchObject({ code: 'OPERATOR_ROLE' })
    expect((await getRequest(f.records, made.id))?.signatures).toEqual([])

    expect((await add({ operator: ann.row.id })).signatures).toMatchObject([{ operator: 'ann', revoked: false }])
    await expect(add({})).rejects.toMatchObject({ code: 'OPERATOR_TWICE' })
    await cancelRequest(f.records, { id: made.id, actor: 'cli:root', reason: 'not wanted' })
    await expect(approve(made, bob)).rejects.toMatchObject({ code: 'REQUEST_CANCELLED' })
    await expect(use(made.id)).rejects.toMatchObject({ code: 'REQUEST_CANCELLED' })
    const actions = await listAudit(f.records, { subjectKind: 'request', subjectId: made.id })
    expect(actions.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      'cli:root requests.create',
      'operator:ann requests.approve',
      'cli:root requests.cancel',
    ])
  })

  test('of one operator handed in twice at once are one', async () => {
    const made = await ask()
    const results = await Promise.allSettled([1, 2, 3].map(() => approve(made, ann)))
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'OPERATOR_TWICE' })
  })

  test('of an auditor count for the audit log alone', async () => {
    const subject = { kind: 'audit', id: 'log' }
    const made = await ask({ kind: 'audit.adopt', subject })
    for (const person of [aud, bob]) await approve(made, person)
    expect((await use(made.id, { kind: 'audit.adopt', subject })).state).toBe('USED')
  })
})

describe('a request', () => {
  test('is used once, of two at once one wins, and a rollback gives it back', async () => {
    const made = await ask()
    await approve(made, ann)
    await expect(use(made.id)).rejects.toMatchObject({
      code: 'REQUEST_UNSIGNED',
      message: expect.stringMatching(/needs 2 signatures that count and lacks 1: signed by ann/) as unknown,
    })
    await approve(made, bob)
    const back = f.records.transaction(async (tx) => {
      await consumeRequest(tx, { id: made.id, kind: 'file.shred', subject: SUBJECT, consumedBy: 'x' })
      throw new Error('the deed failed')
    })
    await expect(back).rejects.toThrow('the deed failed')
    expect(await getRequest(f.records, made.id)).toMatchObject({ state: 'OPEN', consumedAt: null })
    const results = await Promise.allSettled([1, 2, 3].map(() => use(made.id, { detail: { reason: 'asked to' } })))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'REQUEST_USED' })
    await expect(approve(made, cyd)).rejects.toMatchObject({ code: 'REQUEST_USED' })
    await expect(cancelRequest(f.records, { id: made.id, actor: 'x', reason: 'late' })).rejects.toMatchObject({
      code: 'REQUEST_USED',
    })
    const [, , , last] = await listAudit(f.records, { subjectKind: 'request', subjectId: made.id })
    expect(last).toMatchObject({ action: 'requests.use', detail: { signedBy: ['ann', 'bob'] } })
  })

  test('is good for what was signed alone', async () => {
    const made = await ask()
    for (const person of [ann, bob]) await approve(made, person)
    for (const over of [
      { subject: { kind: 'file', id: randomUUID() } },
      { subject: { kind: 'key', id: SUBJECT.id } },
      { kind: 'keys.destroy' as const },
      { detail: { reason: 'other' } },
      { detail: {} },
    ])
      await expect(use(made.id, over)).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
    await expect(use(randomUUID())).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await use(made.id)
  })

  test('expires by the database’s clock', async () => {
    const made = await ask({ expiresSeconds: 1 })
    for (const person of [ann, bob]) await approve(made, person)
    await expiry(made.id)
    await expect(approve(made, cyd)).rejects.toMatchObject({ code: 'REQUEST_EXPIRED' })
    await expect(use(made.id)).rejects.toMatchObject({ code: 'REQUEST_EXPIRED' })
    expect((await getRequest(f.records, made.id))?.state).toBe('EXPIRED')
  })

  test('cannot be made to need fewer than two, or to live forever', async () => {
    for (const required of [0, 1, 6, 2.5]) await expect(ask({ required })).rejects.toMatchObject({ code: 'INVALID' })
    for (const expiresSeconds of [0, -1, 31 * 86_400, 0.5])
      await expect(ask({ expiresSeconds })).rejects.toMatchObject({ code: 'INVALID' })
    await expect(ask({ detail: { share: 0.5 } })).rejects.toMatchObject({ code: 'INVALID' })
    await expect(ask({ detail: { long: 'x'.repeat(65_536) } })).rejects.toMatchObject({ code: 'INVALID' })
    expect((await ask({ required: 5 })).required).toBe(5)
  })

  test('is found by kind, subject and state, newest first', async () => {
    const subject = { kind: 'file', id: randomUUID() }
    const [first, second] = [await ask({ subject }), await ask({ subject })]
    await cancelRequest(f.records, { id: first.id, actor: 'cli:root', reason: 'twice' })
    const found = await listRequests(f.records, { subject })
    expect(found.map(({ id, state }) => [id, state])).toEqual([
      [second.id, 'OPEN'],
      [first.id, 'CANCELLED'],
    ])
    expect(await listRequests(f.records, { subject, state: 'OPEN', kind: 'file.shred' })).toEqual([second])
    expect(await listRequests(f.records, { subject, kind: 'keys.destroy' })).toEqual([])
    expect(second).toMatchObject({ intact: true, detail: { reason: 'asked to' } })
    expect(second.expiresAt.getTime() - second.createdAt.getTime()).toBe(86_400_000)
  })
})

describe('anyone who writes to the database', () => {
  test('cannot change a request through the tables’ own rules', async () => {
    const made = await ask()
    await expect(
      f.sql.query(`UPDATE requests SET subject_id = 'other' WHERE id = $1`, [made.id]),
    ).rejects.toMatchObject({
      constraint: 'requests_fixed',
    })
    await expect(f.sql.query(`DELETE FROM requests WHERE id = $1`, [made.id])).rejects.toMatchObject({
      constraint: 'requests_never_deleted',
    })
  })

  test.each([
    ['the subject', `UPDATE requests SET subject_id = $2 WHERE id = $1`, randomUUID()],
    ['the expiry', `UPDATE requests SET expires_at = $2 WHERE id = $1`, '2099-01-01'],
    ['the number of signatures', `UPDATE requests SET required = $2 WHERE id = $1`, 1],
    ['the kind', `UPDATE requests SET kind = $2 WHERE id = $1`, 'keys.destroy'],
    ['the body', `UPDATE requests SET body = $2 WHERE id = $1`, Buffer.from('{"v":1}')],
  ])('cannot swap %s of what was signed, with the rules out of the way', async (_what, sql, value) => {
    const made = await ask()
    for (const person of [ann, bob]) await approve(made, person)
    await tamper(sql, [made.id, value])
    await expect(use(made.id)).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
    await expect(approve(made, cyd)).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
    expect(await getRequest(f.records, made.id)).toMatchObject({ intact: false })
  })

  test('cannot carry signatures over to another request, nor make them up, nor lend them another operator’s name', async () => {
    const [signed, other] = [await ask(), await ask()]
    for (const person of [ann, bob]) await approve(signed, person)
    const insert = `INSERT INTO request_signatures (request_id, operator_id, signature) VALUES ($1, $2, $3)`
    await tamper(
      `INSERT INTO request_signatures (request_id, operator_id, signature)
       SELECT $1, operator_id, signature FROM request_signatures WHERE request_id = $2`,
      [other.id, signed.id],
    )
    await tamper(insert, [other.id, cyd.row.id, randomBytes(64)])
    await expect(use(other.id)).rejects.toMatchObject({ code: 'REQUEST_UNSIGNED' })

    const third = await ask()
    await approve(third, ann)
    const { rows } = await f.sql.query<{ signature: Buffer }>(
      `SELECT signature FROM request_signatures WHERE request_id = $1`,
      [third.id],
    )
    await tamper(insert, [third.id, bob.row.id, rows[0]?.signature])
    await tamper(insert, [third.id, aud.row.id, sign(null, signedBytes(third.body), aud.key)])
    await expect(use(third.id)).rejects.toMatchObject({
      code: 'REQUEST_UNSIGNED',
      message: expect.stringContaining('lacks 1: signed by ann') as unknown,
    })
  })
})

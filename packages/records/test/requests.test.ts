import { generateKeyPairSync, randomBytes, randomUUID, sign, type KeyObject } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  activeHolds,
  addOperator,
  addSignature,
  cancelRequest,
  consumeRequest,
  createRequest,
  enrolmentDetail,
  getOperator,
  getRequest,
  listAudit,
  listOperators,
  listRequests,
  placeHold,
  rawPublicKey,
  revocationDetail,
  revokeOperator,
  signedBytes,
  type NewOperator,
  type NewRequest,
  type OperatorRow,
  type RequestRow,
} from '../src/index.js'
import { openFixture, opened, type Fixture } from './support.js'

interface Person {
  readonly row: OperatorRow
  readonly key: KeyObject
}

let f: Fixture
let ann: Person, bob: Person, cyd: Person, aud: Person
beforeAll(async () => {
  f = await openFixture()
  ann = await enrol('ann')
  bob = await enrol('bob')
  cyd = await enrol('cyd', { signers: [ann, bob] })
  aud = await enrol('aud', { role: 'auditor', signers: [ann, bob] })
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

function keys() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return { privateKey, publicKey: rawPublicKey(publicKey) }
}

async function enrol(
  name: string,
  o: { role?: 'auditor'; signers?: readonly Person[]; in?: Fixture } = {},
): Promise<Person> {
  const { privateKey, publicKey } = keys()
  const at = o.in ?? f
  const input: NewOperator = { name, role: o.role ?? 'officer', publicKey, enrolledBy: 'cli:root' }
  let requestId: string | undefined
  if (o.signers !== undefined) {
    const subject = { kind: 'operator', id: name }
    const made = await createRequest(at.records, {
      kind: 'operators.add',
      subject,
      detail: enrolmentDetail(input),
      createdBy: 'cli:root',
    })
    for (const signer of o.signers) await approve(made, signer, at)
    requestId = made.id
  }
  return { row: await at.records.transaction((tx) => addOperator(tx, { ...input, requestId })), key: privateKey }
}

function approve(request: RequestRow, by: Person, at = f): Promise<RequestRow> {
  const signature = sign(null, signedBytes(request.body), by.key)
  return addSignature(at.records, { requestId: request.id, operator: by.row.name, signature })
}

const SUBJECT = { kind: 'file', id: randomUUID() }
function ask(over: Partial<NewRequest> = {}): Promise<RequestRow> {
  const detail = { reason: 'asked to' }
  return createRequest(f.records, { kind: 'file.shred', subject: SUBJECT, detail, createdBy: 'cli:root', ...over })
}

function use(id: string, over: Partial<Parameters<typeof consumeRequest>[1]> = {}): Promise<RequestRow> {
  const input = { id, kind: 'file.shred', subject: SUBJECT, consumedBy: 'cli:root', ...over } as const
  return f.records.transaction((tx) => consumeRequest(tx, input))
}

async function expiry(id: string): Promise<void> {
  await f.sql.query(
    `SELECT pg_sleep(greatest(0, extract(epoch FROM expires_at - clock_timestamp()) + 0.005)) FROM requests WHERE id = $1`,
    [id],
  )
}

/** As somebody who owns the tables may: no trigger stands in the way. */
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

  test('have a name and a key that nobody else has', async () => {
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

  test('can not be made to need fewer than two, or to live for ever', async () => {
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

describe('whoever writes to the database', () => {
  test('can not change a request through the tables’ own rules', async () => {
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
  ])('can not swap %s of what was signed, with the rules out of the way', async (_what, sql, value) => {
    const made = await ask()
    for (const person of [ann, bob]) await approve(made, person)
    await tamper(sql, [made.id, value])
    await expect(use(made.id)).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
    await expect(approve(made, cyd)).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
    expect(await getRequest(f.records, made.id)).toMatchObject({ intact: false })
  })

  test('can not carry signatures over to another request, nor make them up, nor lend them another operator’s name', async () => {
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

test('active holds are those of the domain and of the file, and none can be placed meanwhile', async () => {
  const { fileId } = await opened(f)
  const { fileId: another } = await opened(f)
  const place = (file: string | null, released: boolean) =>
    f.sql.query(
      `INSERT INTO holds (id, domain_id, file_id, reason, placed_by, released_at, released_by)
       VALUES ($1, '00000000-0000-0000-0000-000000000000', $2, 'court', 'x', $3, $4)`,
      [randomUUID(), file, released ? new Date() : null, released ? 'y' : null],
    )
  const holds = (file?: string) => f.records.transaction((tx) => activeHolds(tx, { domain: 'default', fileId: file }))
  await place(fileId, true)
  await place(null, true)
  expect(await holds(fileId)).toEqual([])
  await place(another, false)
  expect(await holds(fileId)).toEqual([])
  expect(await holds()).toMatchObject([{ fileId: another, reason: 'court' }])
  expect(await holds(another)).toMatchObject([{ fileId: another }])
  let placing: Promise<unknown> | undefined
  await f.records.transaction(async (tx) => {
    expect(await activeHolds(tx, { domain: 'default', fileId })).toEqual([])
    placing = placeHold(f.records, { target: { domain: 'default' }, reason: 'court', actor: 'x' })
    const race = await Promise.race([placing.then(() => 'placed'), blocked().then(() => 'waits')])
    expect(race).toBe('waits')
  })
  await placing
  expect(await holds(fileId)).toMatchObject([{ fileId: null, placedBy: 'x' }])
})

/** Resolves when a connection of this database waits for a lock. */
async function blocked(): Promise<void> {
  for (;;) {
    const { rows } = await f.sql.query<{ n: number }>(
      `SELECT count(*)::int AS n, pg_sleep(0.01)::text FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    if ((rows[0]?.n ?? 0) > 0) return
  }
}

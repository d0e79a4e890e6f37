import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'

import {
  addOperator,
  canonicalJson,
  consumeRequest,
  createRequest,
  enrolmentDetail,
  rawPublicKey,
  revocationDetail,
  revokeOperator,
  signedBytes,
  type CanonicalObject,
  type NewRequest,
  type RequestRow,
} from '@sealfleet/records/operators'
import { appendAudit } from '@sealfleet/records/audit'
import { removeFile } from '@sealfleet/records/deletion'
import { signatureEvidence } from '@sealfleet/records/keys'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { destructionMessage, destructionStoreKey } from '@sealfleet/keys'
import { enrolTwo, openAuditHouse, openAuditToken, type AuditHouse, type AuditToken } from './audit-house.js'
import type { Begun } from '../../maintenance/test/support.js'

let token: AuditToken
beforeAll(async () => {
  token = await openAuditToken()
})
afterAll(() => token?.[Symbol.asyncDispose]())

let house: AuditHouse
let people: Awaited<ReturnType<typeof enrolTwo>>
let kept: Begun
beforeEach(async () => {
  house = await openAuditHouse(token)
  people = await enrolTwo(house)
  kept = await house.store1()
})
afterEach(() => house?.[Symbol.asyncDispose]())

const found = async () =>
  (await house.verify()).findings.map(({ kind, subject, message }) => ({ kind, subject, message }))
const finding = (kind: string, subject: string, message: RegExp) => ({
  ...{ kind, subject },
  message: expect.stringMatching(message) as string,
})
const forgeSignatures = ({ id }: RequestRow, whose = 'TRUE') =>
  house.tamper(`UPDATE request_signatures s SET signature = decode(repeat('5a', 64), 'hex') FROM operators o
    WHERE o.id = s.operator_id AND s.request_id = '${id}' AND ${whose}`)

interface Warrant {
  readonly kind: 'file.shred' | 'keys.destroy'
  readonly subject: { readonly kind: string; readonly id: string }
  readonly detail: CanonicalObject
}

/** A request that ann and bob signed and that was used, all as it must be. */
async function used({ kind, subject, detail }: Warrant): Promise<RequestRow> {
  const request = await createRequest(house.records, { kind, subject, detail, createdBy: 'cli:root' })
  await people.sign(request, 'ann', 'bob')
  return house.records.transaction((tx) =>
    consumeRequest(tx, { id: request.id, kind, subject, consumedBy: 'cli:root' }),
  )
}

describe('a shredding', () => {
  const warrant = (fileId: string): Warrant => ({
    kind: 'file.shred',
    subject: { kind: 'file', id: fileId },
    detail: { domain: 'default', source: 'in:a', reason: 'asked to' },
  })

  /** Record and event as a shredding leaves them. */
  async function shred({ fileId }: Begun, request: string | null, reason = 'asked to'): Promise<void> {
    await removeFile(house.records, { fileId, actor: 'cli:root', reason: 'r' })
    await house.tamper(`UPDATE files SET deletion = 'SHREDDED' WHERE id = '${fileId}'`)
    const subject = { subjectKind: 'file', subjectId: fileId }
    const detail = { ...(request !== null && { request }), reason, attempts: 1 }
    await appendAudit(house.records, { actor: 'cli:root', action: 'files.shred', ...subject, detail })
  }

  test('that two officers signed is in order', async () => {
    await shred(kept, (await used(warrant(kept.fileId))).id)
    expect(await found()).toEqual([])
  })

  test.each<readonly [string, (request: RequestRow) => Promise<void>, RegExp]>([
    [
      'signatures that no one made',
      (request) => forgeSignatures(request),
      /needs 2 signatures that count and lacks 2: it is signed by nobody/,
    ],
    ['one that someone made', (request) => forgeSignatures(request, `o.name = 'bob'`), /lacks 1: it is signed by ann/],
    [
      'signatures taken away',
      ({ id }) => house.tamper(`DELETE FROM request_signatures WHERE request_id = '${id}'`),
      /lacks 2/,
    ],
    [
      'one of an officer who had been revoked',
      ({ id }) =>
        house.tamper(`UPDATE operators SET revoked_by = 'x', revoked_at = (SELECT consumed_at - interval '1 hour' FROM requests WHERE id = '${id}')
          WHERE name = 'ann'`),
      /lacks 1: it is signed by bob/,
    ],
    [
      'one whose signer is no officer',
      () => house.tamper(`UPDATE operators SET role = 'AUDITOR' WHERE name = 'ann'`),
      /lacks 1/,
    ],
    [
      'bytes that say something else',
      ({ id }) => house.tamper(`UPDATE requests SET required = 1 WHERE id = '${id}'`),
      /does not say what its signed bytes say/,
    ],
    [
      'one that was never used',
      ({ id }) => house.tamper(`UPDATE requests SET consumed_at = NULL, consumed_by = NULL WHERE id = '${id}'`),
      /was never used/,
    ],
    [
      'one that was used too late',
      ({ id }) => house.tamper(`UPDATE requests SET consumed_at = expires_at + interval '1 minute' WHERE id = '${id}'`),
      /used after it had expired/,
    ],
  ])('behind whose request stand %s is found by its file, also when its row is gone', async (_what, forge, message) => {
    const request = await used(warrant(kept.fileId))
    await shred(kept, request.id)
    await forge(request)
    const expected = finding('deletion-mismatch', `file ${kept.fileId}`, message)
    // Some of these are found twice: by the shredding, and by the operator.
    expect(await found()).toContainEqual(expected)
    await house.tamper(
      `DELETE FROM attempts WHERE file_id = '${kept.fileId}'`,
      `DELETE FROM files WHERE id = '${kept.fileId}'`,
    )
    expect(await found()).toContainEqual(expected)
  })

  test.each<readonly [string, () => Promise<string | null>, string, RegExp]>([
    ['none', () => Promise.resolve(null), 'asked to', /no request stands behind it/],
    ['what is no id', () => Promise.resolve(`x'; --`), 'asked to', /there is no request x'; --/],
    [
      'one for another file',
      async () => (await used(warrant(randomUUID()))).id,
      'asked to',
      /is for file.shred of file/,
    ],
    [
      'one for another reason',
      async () => (await used(warrant(kept.fileId))).id,
      'to hide it',
      /signed with another reason/,
    ],
  ])('that names %s is found', async (_what, request, reason, message) => {
    await shred(kept, await request(), reason)
    expect(await found()).toEqual([finding('deletion-mismatch', `file ${kept.fileId}`, message)])
  })

  test('signed by people whom a writer of the database enrolled is found by them', async () => {
    const subject = warrant(kept.fileId).subject
    const request = await createRequest(house.records, { ...warrant(kept.fileId), subject, createdBy: 'cli:eve' })
    for (const name of ['eve', 'mallory']) {
      const { privateKey, publicKey } = generateKeyPairSync('ed25519')
      const [id, key] = [randomUUID(), rawPublicKey(publicKey).toString('hex')]
      const signature = sign(null, signedBytes(request.body), privateKey).toString('hex')
      await house.tamper(
        `INSERT INTO operators (id, name, role, public_key, enrolled_by) VALUES ('${id}', '${name}', 'OFFICER', '\\x${key}', 'cli:root')`,
        `INSERT INTO request_signatures (request_id, operator_id, signature) VALUES ('${request.id}', '${id}', '\\x${signature}')`,
      )
      if (name === 'mallory')
        await appendAudit(house.records, {
          ...{ actor: 'cli:root', action: 'operators.add', subjectKind: 'operator', subjectId: id },
          detail: { name, role: 'OFFICER', publicKey: key, request: null },
        })
    }
    await house.records.transaction((tx) =>
      consumeRequest(tx, { id: request.id, kind: 'file.shred', subject, consumedBy: 'x' }),
    )
    await shred(kept, request.id)
    expect((await found()).sort((a, b) => (a.subject < b.subject ? -1 : 1))).toEqual([
      finding('operator-mismatch', 'operator eve', /no event of the log gave them/),
      finding(
        'operator-mismatch',
        'operator mallory',
        /was enrolled by event \d+ of the log, but no request stands behind it/,
      ),
    ])
  })
})

describe('an operator', () => {
  test('who came and went by two signatures each time is in order; one who is back is not', async () => {
    const { publicKey } = generateKeyPairSync('ed25519')
    const cyd = { name: 'cyd', role: 'officer', publicKey: rawPublicKey(publicKey), enrolledBy: 'cli:root' } as const
    const signed = async (input: Pick<NewRequest, 'kind' | 'subject' | 'detail'>): Promise<string> => {
      const request = await createRequest(house.records, { ...input, createdBy: 'cli:root' })
      await people.sign(request, 'ann', 'bob')
      return request.id
    }
    const added = {
      kind: 'operators.add',
      subject: { kind: 'operator', id: 'cyd' },
      detail: enrolmentDetail(cyd),
    } as const
    const requestId = await signed(added)
    const operator = await house.records.transaction((tx) => addOperator(tx, { ...cyd, requestId }))
    const [subject, reason] = [{ kind: 'operator', id: operator.id }, 'left']
    const request = await signed({ kind: 'operators.revoke', subject, detail: revocationDetail(operator, reason) })
    const gone = { operator: 'cyd', revokedBy: 'cli:root', reason, requestId: request }
    await house.records.transaction((tx) => revokeOperator(tx, gone))
    expect(await found()).toEqual([])
    await house.tamper(`UPDATE operators SET revoked_at = NULL, revoked_by = NULL WHERE name = 'cyd'`)
    expect(await found()).toEqual([
      finding('operator-mismatch', 'operator cyd', /was revoked by an event of the log, and is not/),
    ])
  })
})

describe('the destruction of a key with its files', () => {
  const LABEL = 'sealfleet/default/enc/s1/1'
  const detail = { label: LABEL, checkValue: null, reason: 'r', backups: 'b', waitSeconds: 1, shredFiles: 1 }

  /** Key, event and signed record as a destruction leaves them. */
  async function destroyed(): Promise<RequestRow> {
    const { rows } = await house.sql.query<{ id: string }>(`SELECT id FROM master_keys WHERE label = '${LABEL}'`)
    const keyId = rows[0]?.id ?? ''
    const request = await used({ kind: 'keys.destroy', subject: { kind: 'key', id: keyId }, detail })
    const signatures = (await signatureEvidence(house.records, request.id)).map(({ name, publicKey, signature }) => ({
      ...{ name, publicKey: publicKey.toString('hex'), signature: signature.toString('hex') },
    }))
    const said = {
      v: 1,
      kind: 'destruction',
      reason: 'r',
      backups: 'b',
      shred: true,
      destroyedAt: '2026-11-28T00:00:00.000Z',
    }
    const record = Buffer.from(
      canonicalJson({
        ...said,
        key: { id: keyId, label: LABEL, checkValue: null },
        request: { id: request.id, body: request.body.toString('base64'), signatures },
      }),
    )
    const audit = { role: 'audit', domain: 'default', suite: 1, version: 1 } as const
    const mac = await house.pool.hmac(audit, destructionMessage(record))
    await house.tamper(
      `UPDATE master_keys SET state = 'DESTROYED', retired_at = now(), destroyed_at = now() WHERE id = '${keyId}'`,
      `INSERT INTO destructions (id, key_id, request_id, shred, reason, backups, scheduled_by, execute_after, carried_out_at, record,
        audit_key_version, mac, store_key) VALUES ('${randomUUID()}', '${keyId}', '${request.id}', TRUE, 'r', 'b', 'x', now(), now(),
        '\\x${record.toString('hex')}', 1, '\\x${mac.toString('hex')}', '${destructionStoreKey(LABEL)}')`,
    )
    const subject = { subjectKind: 'key', subjectId: keyId }
    await appendAudit(house.records, {
      actor: 'm',
      action: 'keys.destroy',
      ...subject,
      detail: { requestId: request.id },
    })
    return request
  }

  test('that two officers signed is in order', async () => {
    await destroyed()
    expect(await found()).toEqual([])
  })

  test.each<readonly [string, (request: RequestRow) => Promise<void>, RegExp]>([
    [
      'behind whose request stand signatures that no one made',
      (request) => forgeSignatures(request),
      /lacks 2: it is signed by nobody/,
    ],
    [
      'whose request is another key’s',
      ({ id }) => house.tamper(`UPDATE requests SET subject_id = '${randomUUID()}' WHERE id = '${id}'`),
      /does not say what its signed bytes say/,
    ],
    [
      'whose row gives other files up than its record',
      () => house.tamper(`UPDATE destructions SET shred = FALSE`),
      /says otherwise of the files that are given up/,
    ],
    [
      'whose row names another request',
      async () =>
        house.tamper(
          `UPDATE destructions SET request_id = '${(await used({ kind: 'file.shred', subject: { kind: 'file', id: kept.fileId }, detail })).id}'`,
        ),
      /names another request than its record/,
    ],
    [
      'whose record is not signed',
      () => house.tamper(`UPDATE destructions SET mac = NULL, audit_key_version = NULL`),
      /there is no signed record of it/,
    ],
  ])('%s is found by the key', async (_what, forge, message) => {
    await forge(await destroyed())
    expect(await found()).toContainEqual(finding('key-mismatch', `key ${LABEL}`, message))
  })
})

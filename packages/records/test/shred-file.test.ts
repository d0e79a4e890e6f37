import { generateKeyPairSync, randomBytes, randomUUID, sign, type KeyObject } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { activateMasterKey, activeKeys, registerMasterKey, type ActiveKeys } from '../src/keys/master-keys.js'
import { addOperator } from '../src/operators/operators.js'
import { addSignature } from '../src/operators/add-signature.js'
import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { fileBalance } from '../src/files/counts.js'
import { createRequest, getRequest } from '../src/operators/requests.js'
import { ensureDomain } from '../src/fleet/domains.js'
import { getFile } from '../src/files/get-file.js'
import { listAudit } from '../src/audit/append-audit.js'
import { listShredEvents } from '../src/deletion/shred-events.js'
import { lockForShredding, shredDetail, shredFile } from '../src/deletion/shred-file.js'
import { openAttempt } from '../src/attempts/open-attempt.js'
import { rawPublicKey } from '../src/operators/public-key.js'
import { requestBody, signedBytes } from '../src/operators/request-body.js'
import { setDomain } from '../src/fleet/set-domain.js'
import { usedRequestProblem } from '../src/operators/used-request.js'
import { attempt, commitOf, openFixture, opened, releaseFile, request, type Fixture } from './support.js'

const DOMAIN = randomUUID()
const REASON = 'the court says so'
let f: Fixture
let keys: ActiveKeys
const officers = new Map<string, KeyObject>()

beforeAll(async () => {
  f = await openFixture()
  await ensureDomain(f.records, { id: DOMAIN, nonceMode: 'detached', lossAcknowledged: true })
  for (const role of ['enc', 'sig', 'kek'] as const) {
    const ref = { role, domain: DOMAIN, suite: 1, version: 1 } as const
    const check = role === 'kek' ? { checkRecord: randomBytes(92) } : { checkValue: randomBytes(8) }
    await registerMasterKey(f.records, { ref, ...check })
    await activateMasterKey(f.records, { ref })
  }
  keys = await activeKeys(f.records, DOMAIN)
  for (const name of ['ann', 'bob']) {
    const pair = generateKeyPairSync('ed25519')
    officers.set(name, pair.privateKey)
    const publicKey = rawPublicKey(pair.publicKey)
    await f.records.transaction((tx) => addOperator(tx, { name, role: 'officer', publicKey, enrolledBy: 'x' }))
  }
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

/** A file whose first attempt was lost and whose second is under way. */
async function sealing() {
  const claim = request({ domain: DOMAIN })
  const detached = () => ({
    encKeyId: keys.enc.id,
    sigKeyId: keys.sig.id,
    kekKeyId: keys.kek?.id,
    nonceEnc: undefined,
    nonceSig: undefined,
    nonceIdEnc: randomBytes(32),
    nonceIdSig: randomBytes(32),
    wrappedNonces: randomBytes(92),
  })
  const open = async (attemptNo: number) => {
    await claimFile(f.records, claim)
    const { nonceEnc: _e, nonceSig: _s, ...rest } = attempt(f, claim, detached())
    const id = rest.attemptId
    const input = { ...rest, attemptNo, objectKey: `${DOMAIN}/${claim.fileId}/${id}` }
    await openAttempt(f.records, input)
    return input
  }
  await open(1)
  await releaseFile(f.records, { fileId: claim.fileId, owner: claim.owner, attemptNo: 1 })
  return open(2)
}

async function storedFile(): Promise<string> {
  const second = await sealing()
  await commitAttempt(f.records, commitOf({ ...second }))
  return second.fileId
}

async function signed(fileId: string, reason = REASON): Promise<string> {
  const file = await f.records.transaction((tx) => lockForShredding(tx, fileId))
  const subject = { kind: 'file', id: fileId }
  const made = await createRequest(f.records, {
    kind: 'file.shred',
    subject,
    detail: shredDetail(file, reason),
    createdBy: 'x',
  })
  for (const [operator, key] of officers)
    await addSignature(f.records, { requestId: made.id, operator, signature: sign(null, signedBytes(made.body), key) })
  return made.id
}

const shred = (fileId: string, requestId: string, reason = REASON) =>
  f.records.transaction((tx) => shredFile(tx, { fileId, requestId, reason, shreddedBy: 'cli:root' }))

async function nonces(fileId: string) {
  const { rows } = await f.sql.query<{ state: string; wrapped: boolean; shredded: boolean }>(
    `SELECT state, wrapped_nonces IS NOT NULL AS wrapped, shredded_at IS NOT NULL AS shredded FROM attempts
     WHERE file_id = $1 ORDER BY attempt_no`,
    [fileId],
  )
  return rows
}

test('a shredded file has no wrapped nonces left, whatever became of its attempts, and is DELETED', async () => {
  const fileId = await storedFile()
  const id = await signed(fileId)
  expect((await nonces(fileId)).map(({ wrapped }) => wrapped)).toEqual([true, true])
  await expect(shred(fileId, id, 'another reason')).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
  expect(await shred(fileId, id)).toMatchObject({ attempts: 2, source: 'in:folder/file.bin' })
  expect(await nonces(fileId)).toEqual([
    { state: expect.any(String) as unknown, wrapped: false, shredded: true },
    { state: 'COMMITTED', wrapped: false, shredded: true },
  ])
  expect(await getFile(f.records, fileId)).toMatchObject({ file: { state: 'DELETED' }, committed: null })
  const { rows } = await f.sql.query('SELECT deletion, deleted_by FROM files WHERE id = $1', [fileId])
  expect(rows).toEqual([{ deletion: 'SHREDDED', deleted_by: 'cli:root' }])
  const audit = await listAudit(f.records, { subjectKind: 'file', subjectId: fileId })
  expect(audit.at(-1)).toMatchObject({ action: 'files.shred', detail: { reason: REASON, request: id, attempts: 2 } })
  expect(await fileBalance(f.records)).toMatchObject({ difference: 0, strayCommits: 0 })
  await expect(shred(fileId, id)).rejects.toMatchObject({
    code: 'BAD_STATE',
    message: expect.stringContaining('already') as unknown,
  })
})

test('nothing is shredded without signatures, and a refusal leaves request and file as they were', async () => {
  const fileId = await storedFile()
  const file = await f.records.transaction((tx) => lockForShredding(tx, fileId))
  const made = await createRequest(f.records, {
    kind: 'file.shred',
    subject: { kind: 'file', id: fileId },
    detail: shredDetail(file, REASON),
    createdBy: 'x',
  })
  await expect(shred(fileId, made.id)).rejects.toMatchObject({ code: 'REQUEST_UNSIGNED' })
  await expect(shred(fileId, await signed(await storedFile()))).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
  expect(await getFile(f.records, fileId)).toMatchObject({ file: { state: 'STORED' } })

  const id = await signed(fileId)
  const place = `INSERT INTO holds (id, domain_id, file_id, reason, placed_by) VALUES ($1, $2, $3, 'court', 'judge')`
  const release = `UPDATE holds SET released_at = now(), released_by = 'judge' WHERE id = $1`
  for (const covers of [fileId, null]) {
    const hold = randomUUID()
    await f.sql.query(place, [hold, DOMAIN, covers])
    await expect(shred(fileId, id)).rejects.toMatchObject({ code: 'HELD' })
    await f.sql.query(release, [hold])
  }
  expect((await nonces(fileId)).every(({ wrapped }) => wrapped)).toBe(true)
  await shred(fileId, id)
})

test('a file that is being sealed, or sealed again, has to wait; one with inline nonces can’t be shredded at all', async () => {
  const running = await sealing()
  const lock = (fileId: string) => f.records.transaction((tx) => lockForShredding(tx, fileId))
  await expect(lock(running.fileId)).rejects.toMatchObject({ code: 'BAD_STATE' })
  const { fileId: inline } = await opened(f)
  await expect(lock(inline)).rejects.toMatchObject({
    code: 'BAD_STATE',
    message: expect.stringContaining('inline') as unknown,
  })
  await expect(lock(randomUUID())).rejects.toMatchObject({ code: 'NOT_FOUND' })

  const fileId = await storedFile()
  const [run, item] = [randomUUID(), randomUUID()]
  await f.sql.query(`INSERT INTO rekey_runs (id, domain_id, from_version, created_by) VALUES ($1, $2, 1, 'x')`, [
    run,
    DOMAIN,
  ])
  await f.sql.query(
    `INSERT INTO rekey_items (id, run_id, file_id, state, lease_owner, lease_expires_at) VALUES ($1, $2, $3, 'RUNNING', 'w', now())`,
    [item, run, fileId],
  )
  await expect(lock(fileId)).rejects.toMatchObject({ code: 'BAD_STATE' })
  await f.sql.query(
    `UPDATE rekey_items SET state = 'SKIPPED', ended_at = now(), lease_owner = NULL, lease_expires_at = NULL WHERE id = $1`,
    [item],
  )
  expect((await lock(fileId)).attempts).toBe(2)
})

test('a file that was deleted before can be shredded: its object may live on in a backup of the store', async () => {
  const fileId = await storedFile()
  await f.sql.query(
    `UPDATE files SET state = 'DELETED', deletion = 'REMOVED', deleted_at = now(), deleted_by = 'y' WHERE id = $1`,
    [fileId],
  )
  expect(await shred(fileId, await signed(fileId))).toMatchObject({ attempts: 2 })
  expect((await nonces(fileId)).some(({ wrapped }) => wrapped)).toBe(false)
})

test('a request names the file’s domain by id and name: renamed meanwhile it is refused, and good again under its name', async () => {
  const fileId = await storedFile()
  const { domainName } = await f.records.transaction((tx) => lockForShredding(tx, fileId))
  const id = await signed(fileId)
  expect((await getRequest(f.records, id))?.detail).toMatchObject({ domain: DOMAIN, domainName })
  const rename = (name: string) => f.records.transaction((tx) => setDomain(tx, DOMAIN, { name }))
  await rename('renamed')
  await expect(shred(fileId, id)).rejects.toMatchObject({
    code: 'REQUEST_MISMATCH',
    message: expect.stringMatching(/was signed for the domain ".*", which is named "renamed" now/) as unknown,
    fix: expect.stringMatching(/new request signed/) as unknown,
  })
  expect((await nonces(fileId)).every(({ wrapped }) => wrapped)).toBe(true)
  await rename(domainName)
  await shred(fileId, id)
  const audit = await listAudit(f.records, { subjectKind: 'file', subjectId: fileId })
  expect(audit.at(-1)).toMatchObject({ action: 'files.shred', detail: { domain: DOMAIN, domainName } })
})

test('a request of version 1, signed before names were, is carried out and borne out by its use', async () => {
  const fileId = await storedFile()
  const file = await f.records.transaction((tx) => lockForShredding(tx, fileId))
  const id = randomUUID()
  const { rows } = await f.sql.query<{ now: Date }>(`SELECT date_trunc('milliseconds', clock_timestamp()) AS now`)
  const createdAt = rows[0]?.now ?? new Date(0)
  const body = requestBody({
    ...{ version: 1, id, kind: 'file.shred', subject: { kind: 'file', id: fileId } },
    ...{
      detail: shredDetail(file, REASON, 1),
      required: 2,
      createdAt,
      expiresAt: new Date(createdAt.getTime() + 60_000),
    },
  })
  await f.sql.query(
    `INSERT INTO requests (id, kind, subject_kind, subject_id, body, required, created_by, created_at, expires_at)
     VALUES ($1, 'file.shred', 'file', $2, $3, 2, 'x', $4, $5)`,
    [id, fileId, body, createdAt, new Date(createdAt.getTime() + 60_000)],
  )
  for (const [operator, key] of officers)
    await addSignature(f.records, { requestId: id, operator, signature: sign(null, signedBytes(body), key) })
  await shred(fileId, id)
  const [event] = (await listShredEvents(f.records, { after: '0', limit: 1_000 })).filter(
    (one) => one.fileId === fileId,
  )
  expect(event).toMatchObject({ domain: DOMAIN, domainName: null })
  const deed = { requestId: id, kind: 'file.shred', subject: { kind: 'file', id: fileId } } as const
  expect(await usedRequestProblem(f.records, { ...deed, detail: { reason: REASON, domain: DOMAIN } })).toBeUndefined()
})

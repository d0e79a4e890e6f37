import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { freshDatabase } from '@sealfleet/testkit'
import pg from 'pg'
import { activateMasterKey, activeKeys, registerMasterKey, type ActiveKeys } from '../src/keys/master-keys.js'
import { claimFile, type ClaimInput } from '../src/files/claim-file.js'
import { acceptFiles, type Acceptance, type FileRequest } from '../src/files/accept-files.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { ensureDomain } from '../src/fleet/domains.js'
import type { LeaseInput } from '../src/attempts/renew-lease.js'
import { openAttempt, type OpenAttemptInput } from '../src/attempts/open-attempt.js'
import { openRecords, type Queryable, type Records } from '../src/db/records.js'
import type { CommitInput } from '../src/attempts/commit-attempt.js'

/** SHA-256(label(16) `SFV1/nonce-id` ‖ nonce), written out once more on purpose. */
export function nonceIdOf(nonce: Uint8Array): Buffer {
  return createHash('sha256').update('SFV1/nonce-id\0\0\0').update(nonce).digest()
}

export interface Fixture extends AsyncDisposable {
  readonly url: string
  readonly name: string
  readonly records: Records
  /** Straight to the database, past the statements under test. */
  readonly sql: pg.Pool
  readonly keys: ActiveKeys
}

/** A migrated database of its own with the default domain, and active enc and sig keys of version 1. */
export async function openFixture(): Promise<Fixture> {
  const database = await freshDatabase()
  const records = await openRecords(database.url, { poolSize: 20 })
  const sql = new pg.Pool({ connectionString: database.url, max: 4 })
  // The database is dropped by force while connections may still be closing.
  sql.on('error', () => undefined)
  sql.on('connect', (client) => client.on('error', () => undefined))
  await ensureDomain(records, { id: 'default' })
  for (const role of ['enc', 'sig'] as const) await addKey(records, role, 1)
  return {
    url: database.url,
    name: database.name,
    records,
    sql,
    keys: await activeKeys(records, 'default'),
    async [Symbol.asyncDispose]() {
      await records.close()
      await sql.end()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Registers and activates a version. */
export async function addKey(records: Records, role: 'enc' | 'sig', version: number, domain = 'default') {
  await registerMasterKey(records, { ref: { role, domain, suite: 1, version }, checkValue: randomBytes(8) })
  return activateMasterKey(records, { ref: { role, domain, version } })
}

export async function acceptFile(db: Queryable, file: FileRequest): Promise<Acceptance> {
  const [acceptance] = await acceptFiles(db, [file])
  if (acceptance === undefined) throw new TypeError('one request, no answer')
  return acceptance
}

/** Ends a claim as a worker does that is asked to stop. */
export function releaseFile(db: Queryable, { fileId, owner, attemptNo }: LeaseInput): Promise<'recorded' | 'fenced'> {
  const failure = { code: 'SHUTDOWN', class: 'transient-infrastructure', message: 'given back' }
  return failAttempt(db, { fileId, owner, attemptNo, ...failure, disposition: 'release' })
}

export function request(over: Partial<ClaimInput> = {}): ClaimInput {
  return {
    fileId: randomUUID(),
    domain: 'default',
    source: { root: 'in', path: 'folder/file.bin' },
    context: Buffer.from('context'),
    fingerprint: randomBytes(32),
    owner: `worker-${randomUUID()}`,
    leaseSeconds: 60,
    ...over,
  }
}

export function attempt(
  fixture: Fixture,
  claim: { readonly fileId: string; readonly owner: string },
  over: Partial<OpenAttemptInput> = {},
): OpenAttemptInput {
  const attemptId = randomUUID()
  const nonceEnc = randomBytes(32)
  const nonceSig = randomBytes(32)
  return {
    attemptId,
    fileId: claim.fileId,
    owner: claim.owner,
    attemptNo: 1,
    encKeyId: fixture.keys.enc.id,
    sigKeyId: fixture.keys.sig.id,
    nonceEnc,
    nonceSig,
    nonceIdEnc: nonceIdOf(nonceEnc),
    nonceIdSig: nonceIdOf(nonceSig),
    suite: 1,
    segLog2: 20,
    bucket: 'bucket',
    objectKey: `default/${claim.fileId}/${attemptId}`,
    sourceFingerprint: { size: '3' },
    ...over,
  }
}

export function commitOf(opened: OpenAttemptInput, over: Partial<CommitInput> = {}): CommitInput {
  return {
    attemptId: opened.attemptId,
    fileId: opened.fileId,
    owner: opened.owner,
    objectVersion: 'v1',
    etag: '"etag"',
    objectLength: 416 + 3 + 32,
    plaintextLength: 3,
    htag: randomBytes(32),
    fmac: randomBytes(32),
    ...over,
  }
}

/** Claims a new file and opens its first attempt. */
export async function opened(fixture: Fixture, over: Partial<ClaimInput> = {}): Promise<OpenAttemptInput> {
  const claim = request(over)
  await claimFile(fixture.records, claim)
  const input = attempt(fixture, claim)
  await openAttempt(fixture.records, input)
  return input
}

/** Ends a file's lease as time does: by the database's clock it ran out just now. */
export async function endLease(fixture: Fixture, fileId: string): Promise<void> {
  await fixture.sql.query(
    `UPDATE files SET lease_expires_at = clock_timestamp() - interval '2 ms' WHERE id = $1 AND lease_expires_at IS NOT NULL`,
    [fileId],
  )
}

/** A door that a test opens. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open: () => open() }
}

/** What tests of re-encryption share: a run's items, and an ingest and a new attempt step by step. */
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import { activeKeys } from '../src/keys/master-keys.js'
import { claimFile } from '../src/files/claim-file.js'
import { claimRekeyItem, type RekeyClaim } from '../src/rekey/claim-rekey-item.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { ensureDomain } from '../src/fleet/domains.js'
import { dispatchRekeyItems, type DueItem } from '../src/rekey/dispatch-rekey-items.js'
import { openAttempt } from '../src/attempts/open-attempt.js'
import { openRekeyAttempt } from '../src/rekey/open-rekey-attempt.js'
import { createRekeyItems } from '../src/rekey/create-rekey-items.js'
import { startRekeyRun } from '../src/rekey/start-rekey-run.js'
import { addKey, attempt, commitOf, nonceIdOf, openFixture, type Fixture } from './support.js'

export let f: Fixture
/** Of the test that runs. */
export let domain: string

/** For a test file: a database of its own, and for each of its tests a domain with keys of version 1. */
export function domainOfItsOwn(): void {
  beforeAll(async () => {
    f = await openFixture()
  })
  afterAll(() => f?.[Symbol.asyncDispose]())
  beforeEach(async () => {
    domain = randomUUID()
    await ensureDomain(f.records, { id: domain })
    await rotate(1)
  })
}

export async function rotate(version: number): Promise<void> {
  for (const role of ['enc', 'sig'] as const) await addKey(f.records, role, version, domain)
}

/** An ingest under the keys of now, up to its open attempt. */
export async function underWay() {
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

export async function stored(): Promise<{ fileId: string; attemptId: string }> {
  const input = await underWay()
  expect(await commitAttempt(f.records, commitOf(input))).toBe('committed')
  return input
}

export const start = async (rate?: number) =>
  (await startRekeyRun(f.records, { domain, fromVersion: 1, filesPerSecond: rate, createdBy: 'test' })).run

/** All items that the run would give now. */
export async function given(runId: string, o: { limit?: number; lostAfterSeconds?: number } = {}): Promise<DueItem[]> {
  const items: DueItem[] = []
  await dispatchRekeyItems(f.records, runId, (some) => Promise.resolve(items.push(...some)), {
    limit: o.limit ?? 1_000,
    lostAfterSeconds: o.lostAfterSeconds ?? 60,
  })
  return items
}

export async function seeded(runId: string): Promise<DueItem[]> {
  expect(await createRekeyItems(f.records, runId, 'test')).toBe('seeded')
  return given(runId)
}

export async function claimed(itemId: string, owner = 'one', leaseSeconds = 60): Promise<RekeyClaim> {
  const outcome = await claimRekeyItem(f.records, { itemId, owner, leaseSeconds })
  if (outcome.outcome !== 'claimed') throw new Error(outcome.outcome)
  return outcome
}

export async function openNew(claim: RekeyClaim, owner = 'one') {
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
export const leaseOver = (itemId: string) =>
  f.sql.query(
    `SELECT pg_sleep(greatest(0, extract(epoch FROM lease_expires_at - clock_timestamp()) + 0.005)) FROM rekey_items WHERE id = $1`,
    [itemId],
  )

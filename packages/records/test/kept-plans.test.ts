import { afterAll, beforeAll, expect, test } from 'vitest'
import { Prisma } from '../src/generated/client.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { failureHistory } from '../src/attempts/failure-history.js'
import { openAttempt } from '../src/attempts/open-attempt.js'
import { renewLease } from '../src/attempts/renew-lease.js'
import { openRecords, type Records } from '../src/db/records.js'
import { acceptFiles } from '../src/files/accept-files.js'
import { claimFile } from '../src/files/claim-file.js'
import { fileStates } from '../src/files/file-states.js'
import { getFile } from '../src/files/get-file.js'
import { traceFile } from '../src/files/trace-file.js'
import { activeKeys } from '../src/keys/master-keys.js'
import { claimRekeyItem } from '../src/rekey/claim-rekey-item.js'
import { commitRekey } from '../src/rekey/commit-rekey.js'
import { createRekeyItems } from '../src/rekey/create-rekey-items.js'
import { dispatchRekeyItems, type DueItem } from '../src/rekey/dispatch-rekey-items.js'
import { openRekeyAttempt } from '../src/rekey/open-rekey-attempt.js'
import { renewRekeyLease } from '../src/rekey/renew-rekey-lease.js'
import { startRekeyRun } from '../src/rekey/start-rekey-run.js'
import { manyFiles } from './many-files.js'
import { addKey, attempt, commitOf, openFixture, request, type Fixture } from './support.js'

/**
 * A session keeps the plan of a statement. A fleet begins with empty tables, for which a look at every row is a good
 * plan, and they may be large before the server's statistics are: the kept plans must be good ones all the same.
 */
let f: Fixture
/** One session, which keeps a plan from the first use on. */
let records: Records
beforeAll(async () => {
  f = await openFixture()
  await f.sql.query(`ALTER DATABASE ${f.name} SET plan_cache_mode = force_generic_plan`)
  await f.sql.query(`ALTER TABLE files SET (autovacuum_enabled = off)`)
  records = await openRecords(f.url, { poolSize: 1 })
})
afterAll(async () => {
  await records?.close()
  await f?.[Symbol.asyncDispose]()
})

/** All that a worker does with a file, until it is stored. */
async function store(): Promise<{ readonly fileId: string; readonly attemptId: string }> {
  const claim = request()
  await acceptFiles(records, [claim])
  for (let attemptNo = 1; ; attemptNo++) {
    await claimFile(records, claim)
    await activeKeys(records, 'default')
    const input = attempt(f, claim, { attemptNo })
    await openAttempt(records, input)
    await renewLease(records, { ...claim, attemptNo, leaseSeconds: 60 })
    if (attemptNo === 2) {
      expect(await commitAttempt(records, commitOf(input))).toBe('committed')
      return input
    }
    await failureHistory(records, { fileId: claim.fileId, generation: 1, code: 'SOURCE_CHANGED' })
    const why = { code: 'SOURCE_CHANGED', class: 'source', message: '', disposition: 'retry' } as const
    expect(await failAttempt(records, { ...claim, attemptNo, ...why })).toBe('recorded')
  }
}

/** All that a worker does to re-encrypt one. */
async function reseal(): Promise<void> {
  for (const role of ['enc', 'sig'] as const) await addKey(f.records, role, 2)
  const { run } = await startRekeyRun(f.records, { domain: 'default', fromVersion: 1, createdBy: 'test' })
  await createRekeyItems(f.records, run.id, 'test')
  const items: DueItem[] = []
  await dispatchRekeyItems(records, run.id, (some) => Promise.resolve(items.push(...some)), {
    limit: 10,
    lostAfterSeconds: 60,
  })
  const itemId = items[0]?.id ?? ''
  const owner = 'worker'
  const claim = await claimRekeyItem(records, { itemId, owner, leaseSeconds: 60 })
  if (claim.outcome !== 'claimed') throw new Error(claim.outcome)
  await renewRekeyLease(records, { itemId, owner, attemptNo: claim.attemptNo, leaseSeconds: 60 })
  const keys = await activeKeys(records, 'default')
  const { oldAttemptId, attemptNo, fileId } = claim
  const input = attempt(f, { fileId, owner }, { attemptNo, encKeyId: keys.enc.id, sigKeyId: keys.sig.id })
  await openRekeyAttempt(records, { ...input, itemId, oldAttemptId })
  expect(await commitRekey(records, { ...commitOf(input), itemId, oldAttemptId })).toBe('committed')
}

test('no plan that a worker’s session kept from an empty database reads a table of files whole', async () => {
  const { fileId } = await store()
  await getFile(records, fileId)
  await traceFile(records, fileId)
  await fileStates(records, [fileId])
  await reseal()
  const client = await f.sql.connect()
  try {
    await manyFiles(client, f.keys, 5_000)
    await client.query(`INSERT INTO audit_log (actor, action, subject_kind, subject_id)
      SELECT 'w', 'file.commit', 'file', i::text FROM generate_series(1, 5000) i`)
  } finally {
    client.release(true)
  }
  const kept = await records.query<{ name: string; statement: string; parameters: number }>(Prisma.sql`
    SELECT name, statement, cardinality(parameter_types) AS parameters FROM pg_prepared_statements
    WHERE statement ~ '(files|attempts|audit_log|failures|rekey_items)' AND generic_plans > 0`)
  expect(kept.length).toBeGreaterThan(15)
  for (const { name, statement, parameters } of kept) {
    const values = parameters === 0 ? '' : `(${Array.from({ length: parameters }, () => 'NULL').join()})`
    const plan = await records.query<{ 'QUERY PLAN': string }>(Prisma.raw(`EXPLAIN EXECUTE "${name}"${values}`))
    const text = plan.map((row) => row['QUERY PLAN']).join('\n')
    expect(text, statement).not.toMatch(/Seq Scan on "?(files|attempts|audit_log|failures|rekey_items)\b/)
  }
})

import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { assertRekeyable, startRekeyRun } from '../src/rekey/start-rekey-run.js'
import { changeRekeyRun } from '../src/rekey/change-rekey-run.js'
import { claimRekeyItem } from '../src/rekey/claim-rekey-item.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { commitRekey } from '../src/rekey/commit-rekey.js'
import { countRekeyItems } from '../src/rekey/count-rekey-items.js'
import { getRekeyRun } from '../src/rekey/rekey-runs.js'
import { listAudit } from '../src/audit/append-audit.js'
import { rekeyScope } from '../src/rekey/rekey-scope.js'
import { retryRekeyItems } from '../src/rekey/retry-rekey-items.js'
import { createRekeyItems } from '../src/rekey/create-rekey-items.js'
import {
  claimed,
  domain,
  domainOfItsOwn,
  f,
  given,
  leaseOver,
  openNew,
  rotate,
  seeded,
  start,
  stored,
  underWay,
} from './rekeying.js'
import { addKey, commitOf } from './support.js'

domainOfItsOwn()

describe('a run', () => {
  test('is refused while the version is active in a role, unknown, or nothing is active', async () => {
    await expect(start()).rejects.toMatchObject({ code: 'BAD_STATE' })
    await addKey(f.records, 'enc', 2, domain)
    await expect(start()).rejects.toMatchObject({
      code: 'BAD_STATE',
      message: expect.stringContaining('sig') as string,
    })
    await expect(assertRekeyable(f.records, { domain, fromVersion: 9 })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await addKey(f.records, 'sig', 2, domain)
    await f.sql.query(
      `UPDATE master_keys SET state = 'DECRYPT_ONLY', retired_at = now() WHERE domain_id = $1 AND role = 'ENC' AND version = 2`,
      [domain],
    )
    await expect(start()).rejects.toMatchObject({ code: 'NO_ACTIVE_KEY' })
  })

  test('is one for a domain and version: starting it again resumes it, and may set its rate', async () => {
    await rotate(2)
    const first = await start(5)
    await changeRekeyRun(f.records, first.id, 'pause')
    const again = await startRekeyRun(f.records, { domain, fromVersion: 1, createdBy: 'x' })
    expect(again).toMatchObject({ created: false, run: { id: first.id, state: 'ACTIVE', filesPerSecond: 5 } })
    expect((await start(7)).filesPerSecond).toBe(7)
  })

  test('takes the files under its version, and nothing of other domains or versions', async () => {
    const old = [await stored(), await stored()]
    await rotate(2)
    await stored()
    expect(await rekeyScope(f.records, domain, 1)).toEqual({ files: 2, bytes: 6, lost: 0 })
    const run = await start()
    const items = await seeded(run.id)
    expect(items).toHaveLength(2)
    const claims = await Promise.all(items.map(({ id }) => claimed(id)))
    expect(claims.map(({ fileId }) => fileId).sort()).toEqual(old.map(({ fileId }) => fileId).sort())
    expect(claims.map(({ attemptNo }) => attemptNo)).toEqual([2, 2])
    expect(await countRekeyItems(f.records, [run.id, randomUUID()])).toEqual({
      ...{ QUEUED: 0, RUNNING: 2, DONE: 0, SKIPPED: 0, FAILED: 0 },
    })
    expect((await countRekeyItems(f.records, [])).RUNNING).toBe(0)
  })

  test('without a file is done after one more look; with an ingest under way under its version only when that has ended', async () => {
    const late = await underWay()
    await rotate(2)
    const run = await start()
    expect(await createRekeyItems(f.records, run.id, 'test')).toBe('seeded')
    expect(await createRekeyItems(f.records, run.id, 'test')).toBe('seeded')
    expect(await commitAttempt(f.records, commitOf(late))).toBe('committed')
    // The last look finds what was committed under the old version after the first pass.
    expect(await createRekeyItems(f.records, run.id, 'test')).toBe('seeded')
    const [item] = await given(run.id)
    const { commit } = await openNew(await claimed(item?.id ?? ''))
    expect(await commitRekey(f.records, commit)).toBe('committed')
    expect(await createRekeyItems(f.records, run.id, 'test')).toBe('done')
    expect(await getRekeyRun(f.records, run.id)).toMatchObject({ state: 'DONE' })
    const audit = await listAudit(f.records, { subjectKind: 'rekey-run', subjectId: run.id })
    expect(audit.map(({ action }) => action)).toEqual(['rekey.done'])
  })

  test.each([1, 2, 3, 7, 100])(
    'is seeded in pages of %i: each file once, and no look at other domains’ files',
    async (page) => {
      const files = []
      for (let i = 0; i < 5; i++) files.push(await stored())
      // Another attempt that is under way, beside those of the pages.
      await underWay()
      await rotate(2)
      const young = await stored()
      const run = await start()
      const pass = async (): Promise<number> => {
        for (let asked = 1; ; asked++)
          if ((await createRekeyItems(f.records, run.id, 'test', { page })) !== 'seeding') return asked
      }
      // Two rows for each of six attempts at most, whatever else there is in the records.
      expect(await pass()).toBeLessThanOrEqual(Math.floor(12 / page) + 1)
      const items = await given(run.id)
      const { rows } = await f.sql.query<{ file_id: string }>('SELECT file_id FROM rekey_items WHERE run_id = $1', [
        run.id,
      ])
      expect(rows.map((row) => row.file_id).sort()).toEqual(files.map(({ fileId }) => fileId).sort())
      expect(rows.map((row) => row.file_id)).not.toContain(young.fileId)
      for (const { id } of items.slice(0, 2)) {
        const { commit } = await openNew(await claimed(id))
        expect(await commitRekey(f.records, commit)).toBe('committed')
      }
      expect((await countRekeyItems(f.records, [run.id])).DONE).toBe(2)
    },
  )

  test('gives no more jobs than its rate in any window, and at most the limit', async () => {
    for (let i = 0; i < 8; i++) await stored()
    await rotate(2)
    const run = await start(2)
    await createRekeyItems(f.records, run.id, 'test')
    expect(await given(run.id, { limit: 3 })).toHaveLength(3)
    expect(await given(run.id)).toHaveLength(1)
    expect(await given(run.id)).toHaveLength(0)
    await f.sql.query(`UPDATE rekey_items SET queued_at = queued_at - interval '3 seconds' WHERE run_id = $1`, [run.id])
    expect(await given(run.id)).toHaveLength(4)
  })

  test('gives an item again when its job is lost, not before', async () => {
    await stored()
    await rotate(2)
    const run = await start()
    const [item] = await seeded(run.id)
    expect(await given(run.id)).toEqual([])
    await f.sql.query(`UPDATE rekey_items SET queued_at = queued_at - interval '61 seconds' WHERE id = $1`, [item?.id])
    expect(await given(run.id)).toEqual([item])
    await claimed(item?.id ?? '', 'gone', 0.2)
    await leaseOver(item?.id ?? '')
    await f.sql.query(
      `UPDATE rekey_items SET queued_at = queued_at - interval '61 seconds', lease_expires_at = lease_expires_at - interval '61 seconds' WHERE id = $1`,
      [item?.id],
    )
    expect(await given(run.id)).toHaveLength(1)
  })

  test('that is paused or cancelled lets no one begin; resumed, its items are due at once', async () => {
    await stored()
    await rotate(2)
    const run = await start()
    const [item] = await seeded(run.id)
    const ask = () => claimRekeyItem(f.records, { itemId: item?.id ?? '', owner: 'one', leaseSeconds: 60 })
    expect((await changeRekeyRun(f.records, run.id, 'pause')).changed).toBe(true)
    expect((await changeRekeyRun(f.records, run.id, 'pause')).changed).toBe(false)
    expect(await ask()).toEqual({ outcome: 'halted' })
    expect(await given(run.id)).toEqual([])
    await changeRekeyRun(f.records, run.id, 'resume')
    expect(await given(run.id)).toEqual([item])
    await changeRekeyRun(f.records, run.id, 'cancel')
    expect(await ask()).toEqual({ outcome: 'halted' })
    await expect(changeRekeyRun(f.records, run.id, 'resume')).rejects.toMatchObject({ code: 'BAD_STATE' })
    await expect(retryRekeyItems(f.records, run.id)).rejects.toMatchObject({ code: 'BAD_STATE' })
    expect(await createRekeyItems(f.records, run.id, 'test')).toBe('idle')
    // The version is free for another run.
    expect((await start()).id).not.toBe(run.id)
  })
})

import { appendAudit, listAudit } from '@sealfleet/records/audit'
import { expireFiles, removeFile } from '@sealfleet/records/deletion'
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { openAuditHouse, openAuditToken, type AuditHouse, type AuditToken } from './audit-house.js'
import type { Begun } from '../../maintenance/test/support.js'

let token: AuditToken
beforeAll(async () => {
  token = await openAuditToken()
})
afterAll(() => token?.[Symbol.asyncDispose]())

let house: AuditHouse
let kept: Begun
beforeEach(async () => {
  house = await openAuditHouse(token)
  kept = await house.store1()
})
afterEach(() => house?.[Symbol.asyncDispose]())

const kinds = async () => (await house.verify()).findings.map(({ kind, subject }) => `${kind} ${subject}`)
const remove = async ({ fileId }: Begun) => {
  const removed = await removeFile(house.records, { fileId, actor: 'cli:ann', reason: 'asked to' })
  expect(removed.outcome).toBe('removed')
}
/** Nothing of it is left in the database, as after a table that was restored without it. */
const vanish = ({ fileId }: Begun) =>
  house.tamper(`DELETE FROM attempts WHERE file_id = '${fileId}'`, `DELETE FROM files WHERE id = '${fileId}'`)
const set = ({ fileId }: Begun, what: string) => house.tamper(`UPDATE files SET ${what} WHERE id = '${fileId}'`)
const PUT_BACK = `state = 'STORED', deletion = NULL, deleted_at = NULL, deleted_by = NULL, swept_at = NULL`

describe('a file that is gone', () => {
  test('by a command or by its retention is in order, its objects and rows with it', async () => {
    const [removed, expired] = [await house.store1(), await house.store1()]
    await remove(removed)
    await house.sql.query(`UPDATE key_domains SET retention_days = 1`)
    await set(expired, `stored_at = clock_timestamp() - interval '2 days'`)
    expect(await expireFiles(house.records, { domain: 'default', limit: 10, actor: 'maintenance' })).toEqual([
      expired.fileId,
    ])
    await house.checkpoint()
    expect(await house.verify()).toMatchObject({ found: 0, files: 1, events: 3, keys: 3 })
    await house.store.delete(removed.key)
    await vanish(removed)
    await vanish(expired)
    expect(await kinds()).toEqual([])
  })

  test('with row and object, and the log does not say why, is found', async () => {
    await house.store.delete(kept.key)
    await vanish(kept)
    expect(await kinds()).toEqual([`event-mismatch file ${kept.fileId}`])
  })

  test('after an event that deletes another file, or came before its commit, is found', async () => {
    await remove(await house.store1())
    await vanish(kept)
    expect(await kinds()).toEqual([`event-mismatch file ${kept.fileId}`])
  })

  test.each([
    [
      'by someone who wrote no row',
      `state = 'DELETED', deletion = 'REMOVED', deleted_at = now(), deleted_by = 'x'`,
      /does not say who/,
    ],
    ['and no one is named', `state = 'DELETED'`, /does not say who/],
    [
      'and is queued again',
      `state = 'QUEUED', committed_attempt_id = NULL`,
      /is QUEUED, and event \d+ of the log committed it/,
    ],
    ['and looks discarded', `state = 'DISCARDED', committed_attempt_id = NULL`, /is DISCARDED/],
  ])('%s, is found', async (_what, change, message) => {
    await set(kept, change)
    expect((await house.verify()).findings).toEqual([
      {
        code: 'AUDIT_MISMATCH',
        kind: 'deletion-mismatch',
        subject: `file ${kept.fileId}`,
        message: expect.stringMatching(message) as unknown,
      },
    ])
  })

  test('otherwise than the log says, or shredded by a request that no one used, is found', async () => {
    await remove(kept)
    await set(kept, `deletion = 'EXPIRED'`)
    expect(await kinds()).toEqual([`deletion-mismatch file ${kept.fileId}`])
    await set(kept, `deletion = 'SHREDDED'`)
    const subject = { subjectKind: 'file', subjectId: kept.fileId }
    await appendAudit(house.records, {
      ...{ actor: 'cli:eve', action: 'files.shred', ...subject },
      detail: { request: randomUUID(), reason: 'r', attempts: 1 },
    })
    const { findings } = await house.verify()
    expect(findings.map(({ message }) => message)).toEqual([expect.stringMatching(/there is no request/)])
  })
})

describe('a file that is there', () => {
  test('although an event deleted it: the record was put back', async () => {
    await remove(kept)
    expect(await kinds()).toEqual([])
    await set(kept, PUT_BACK)
    expect(await kinds()).toEqual([`deletion-mismatch file ${kept.fileId}`])
  })

  test('again under its old id, committed after it was deleted', async () => {
    await remove(kept)
    await vanish(kept)
    const again = await house.begin({ fileId: kept.fileId })
    await house.commit(again, await house.upload(again))
    // There again, committed after the end, and without the attempt of the first time.
    const event = `event-mismatch file ${kept.fileId}`
    expect((await kinds()).sort()).toEqual([`deletion-mismatch file ${kept.fileId}`, event, event])
  })
})

describe('a master key', () => {
  const ENC = `sealfleet/default/enc/s1/1`
  const destroyedEvent = async (subjectId: string) =>
    appendAudit(house.records, { actor: 'm', action: 'keys.destroy', subjectKind: 'key', subjectId, detail: {} })
  const idOf = async (label: string) =>
    (await house.sql.query<{ id: string }>(`SELECT id FROM master_keys WHERE label = $1`, [label])).rows[0]?.id ?? ''
  const gone = `UPDATE master_keys SET state = 'DESTROYED', retired_at = now(), destroyed_at = now() WHERE label = '${ENC}'`

  test('that looks destroyed and was not, and the files that no one gave up for it', async () => {
    await house.tamper(gone)
    expect((await kinds()).sort()).toEqual([`deletion-mismatch file ${kept.fileId}`, `key-mismatch key ${ENC}`])
  })

  test('that was destroyed, as the log says, without a signed record', async () => {
    await house.tamper(gone)
    await destroyedEvent(await idOf(ENC))
    const { findings } = await house.verify()
    expect(findings.map(({ message }) => message)).toContainEqual(expect.stringMatching(/no signed record/))
  })

  test('that was destroyed and is back, or is not registered any more', async () => {
    await destroyedEvent(await idOf(ENC))
    const nobody = randomUUID()
    await destroyedEvent(nobody)
    expect((await kinds()).sort()).toEqual([`key-mismatch key ${nobody}`, `key-mismatch key ${ENC}`])
    expect(await listAudit(house.records, { subjectKind: 'key', subjectId: nobody })).toHaveLength(1)
  })
})

import { appendAudit, listAudit } from '@sealfleet/records/audit'
import { every, matrix } from '@sealfleet/testkit'
import { beforeEach, describe, expect, test } from 'vitest'

import { chainAudit } from '../src/chain.js'
import { checkpointAudit } from '../src/checkpoint.js'
import { checkpointKey } from '../src/body.js'
import type { AuditHouse } from './audit-house.js'
import { eachInItsHouse } from './audit-story.js'

let house: AuditHouse
const { note, history, kinds } = eachInItsHouse((own) => (house = own))

describe('in the database, as its owner', () => {
  beforeEach(history)

  const changes: readonly [what: string, statements: readonly string[], expected: readonly (string | RegExp)[]][] = [
    ['a changed row', [`UPDATE audit_log SET actor = 'nobody' WHERE id = 1`], ['row-changed batch 1']],
    [
      'a changed detail',
      [`UPDATE audit_log SET detail = detail || '{"length": 1}' WHERE id = 2`],
      [/row-changed batch 1/],
    ],
    ['a removed row', [`DELETE FROM audit_log WHERE id = 4`], ['row-removed row 4']],
    [
      'a row removed without a trace',
      [`DELETE FROM audit_batch_rows WHERE audit_id = 4`, `DELETE FROM audit_log WHERE id = 4`],
      ['row-removed batch 2'],
    ],
    [
      'an added row',
      [
        `INSERT INTO audit_log (id, actor, action, subject_kind, subject_id) VALUES (99, 'a', 'b', 'c', 'd')`,
        `INSERT INTO audit_batch_rows VALUES (99, 1)`,
      ],
      ['row-added batch 1'],
    ],
    [
      'a batch cut out',
      [`DELETE FROM audit_batch_rows WHERE batch_no = 1`, `DELETE FROM audit_batches WHERE no = 1`],
      ['batch-missing batch 1'],
    ],
    [
      'the last batch cut off',
      [`DELETE FROM audit_batch_rows WHERE batch_no = 2`, `DELETE FROM audit_batches WHERE no = 2`],
      ['batch-missing batch 2'],
    ],
    [
      'the last batch cut off with its checkpoint',
      [
        `DELETE FROM audit_checkpoints WHERE no = 2`,
        `DELETE FROM audit_batch_rows WHERE batch_no = 2`,
        `DELETE FROM audit_batches WHERE no = 2`,
      ],
      ['database-behind copy 2'],
    ],
    ['a checkpoint taken away', [`DELETE FROM audit_checkpoints WHERE no = 1`], ['checkpoint-missing checkpoint 1']],
    [
      'a MAC of one’s own',
      [`UPDATE audit_checkpoints SET mac = sha256(body) WHERE no = 2`],
      ['checkpoint-forged checkpoint 2'],
    ],
  ]
  matrix(changes, every(2))('%s is found and named', async ([, statements, expected]) => {
    await house.tamper(...statements)
    const found = await kinds()
    for (const one of expected) expect(found).toContainEqual(typeof one === 'string' ? one : expect.stringMatching(one))
  })

  test('a row that was rewritten together with its batch is found by the checkpoint', async () => {
    await house.tamper(
      `DELETE FROM audit_batch_rows`,
      `DELETE FROM audit_batches`,
      `UPDATE audit_log SET actor = 'nobody' WHERE id = 1`,
    )
    await chainAudit(house.records)
    expect(await kinds()).toContain('batch-changed batch 1')
  })
})

describe('an old record put back together with its old object', () => {
  test('is found: the last commit in the log is another', async () => {
    const { fileId, attemptId } = await house.store1()
    // A later attempt, as re-encryption leaves it, and then the row as it was before.
    await house.tamper(
      `INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
       SELECT actor, 'file.rekey', subject_kind, subject_id, detail || jsonb_build_object('attemptId', gen_random_uuid())
       FROM audit_log WHERE subject_id = '${fileId}'`,
    )
    const report = await house.verify()
    expect(report.findings).toContainEqual(
      expect.objectContaining({ code: 'AUDIT_MISMATCH', kind: 'record-mismatch', subject: `file ${fileId}` }),
    )
    expect(report.findings.some(({ message }) => message.includes(attemptId))).toBe(true)
  })

  test('is found also when a row was written for it', async () => {
    const { fileId } = await house.store1()
    const [event] = await listAudit(house.records, { subjectKind: 'file', subjectId: fileId })
    await appendAudit(house.records, {
      actor: 'worker',
      action: 'file.commit',
      subjectKind: 'file',
      subjectId: fileId,
      detail: event?.detail,
    })
    expect(await kinds()).toEqual([`event-mismatch file ${fileId}`])
  })

  test.each([
    ['another object under the same attempt', `UPDATE attempts SET object_version = 'v0'`, 'record-mismatch'],
    ['other tags', `UPDATE attempts SET fmac = sha256(fmac)`, 'record-mismatch'],
    ['no row in the log', `DELETE FROM audit_log`, 'record-mismatch'],
    ['an attempt that is gone', `DELETE FROM attempts`, 'event-mismatch'],
  ])('%s', async (_what, statement, kind) => {
    const { fileId } = await house.store1()
    await house.tamper(statement)
    expect(await kinds()).toContain(`${kind} file ${fileId}`)
  })
})

describe('a copy', () => {
  test('that failed is written the next time', async () => {
    await note()
    await house.checkpoint()
    await house.sql.query('UPDATE audit_checkpoints SET stored_at = NULL')
    await house.store.delete(checkpointKey(1))
    expect(await checkpointAudit(house.ports)).toEqual({ made: null, stored: 1, differing: [] })
    expect(await kinds()).toEqual([])
  })

  test('is never written over another, which is a finding', async () => {
    const body = Buffer.from('{"not":"ours"}')
    await house.store.put({
      key: checkpointKey(1),
      body: (async function* () {
        yield await Promise.resolve(body)
      })(),
      length: body.length,
      metadata: {},
    })
    await note()
    await chainAudit(house.records)
    await expect(house.checkpoint()).rejects.toMatchObject({ code: 'AUDIT_BEHIND' })
  })

  test('with a forged MAC is no sign that the database was rolled back', async () => {
    await history()
    const forged = Buffer.from(
      JSON.stringify({ auditKeyVersion: 1, body: Buffer.from('{}').toString('base64'), mac: '0'.repeat(64) }),
    )
    await house.store.put({
      key: checkpointKey(3),
      body: (async function* () {
        yield await Promise.resolve(forged)
      })(),
      length: forged.length,
      metadata: {},
    })
    expect(await kinds()).toEqual(['checkpoint-forged copy 3'])
  })
})

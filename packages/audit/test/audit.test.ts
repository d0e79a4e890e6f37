import { createRequest } from '@sealfleet/records/operators'
import { describe, expect, test } from 'vitest'

import { ADOPTION, adoptAudit, adoptionDetail } from '../src/adopt.js'
import { chainAudit } from '../src/chain.js'
import { checkpointAudit } from '../src/checkpoint.js'
import { checkpointKey } from '../src/body.js'
import { formatAnchor, parseAnchor, parseExpectation } from '../src/anchor.js'
import { enrolTwo, type AuditHouse } from './audit-house.js'
import { eachInItsHouse } from './audit-story.js'

let house: AuditHouse
const { note, history, kinds } = eachInItsHouse((own) => (house = own))

describe('a log that no one touched', () => {
  test('verifies, and says what it holds', async () => {
    const files = await history()
    const report = await house.verify()
    expect(report).toMatchObject({ checkpoints: 2, copies: 2, files: 3, events: 3, found: 0, unsealed: { rows: 0 } })
    expect(report.rows).toBe(4)
    expect(report.head?.no).toBe(2)
    expect(files).toHaveLength(3)
  })

  test('what is not sealed yet is said, and becomes a finding when it is old', async () => {
    await history()
    await note()
    expect(await house.verify()).toMatchObject({ found: 0, unsealed: { rows: 1 } })
    expect(await kinds({ unsealedSeconds: -1 })).toEqual(['unsealed-old log'])
  })

  test('a checkpoint is made only when the chain has grown', async () => {
    await history()
    expect(await checkpointAudit(house.ports)).toEqual({ made: null, stored: 0, differing: [] })
  })

  test('several processes sign at once: one is the faster, no one fails, and the numbers have no gap', async () => {
    for (let round = 1; round <= 3; round++) {
      await note()
      await house.sealable()
      await chainAudit(house.records)
      const reports = await Promise.all(Array.from({ length: 6 }, () => checkpointAudit(house.ports)))
      expect(reports.filter(({ made }) => made !== null).map(({ made }) => made?.no)).toEqual([round])
    }
    expect(await house.verify()).toMatchObject({ checkpoints: 3, copies: 3, found: 0 })
  })

  test('rows of a transaction that is under way are sealed later, those after it wait with it', async () => {
    const client = await house.sql.connect()
    try {
      await client.query(
        `BEGIN; INSERT INTO audit_log (actor, action, subject_kind, subject_id) VALUES ('a', 'b', 'c', 'd')`,
      )
      await note('later.row')
      expect((await chainAudit(house.records)).waiting.rows).toBe(1)
      await client.query('COMMIT')
    } finally {
      client.release()
    }
    await house.checkpoint()
    expect(await house.verify()).toMatchObject({ rows: 2, found: 0 })
  })

  test('rows of another cluster, whose transactions lie in the future, are sealed, and so are those that come after', async () => {
    await house.sql.query(
      `INSERT INTO audit_log (actor, action, subject_kind, subject_id, xact) SELECT 'a', 'b', 'c', i::text, 9000000000000 + i FROM generate_series(1, 7) i`,
    )
    await note()
    const seal = () => chainAudit(house.records, { batchRows: 3 })
    await expect.poll(async () => (await seal()).waiting.rows, { timeout: 60_000 }).toBe(0)
    await note()
    await expect.poll(async () => (await seal()).waiting.rows, { timeout: 60_000 }).toBe(0)
    expect(await house.verify()).toMatchObject({ rows: 9, found: 0, unsealed: { rows: 0 } })
  })

  test('several processes chain at once: each row is in one batch, the chain has no fork', async () => {
    for (let i = 0; i < 30; i++) await note()
    await house.sealable()
    await expect
      .poll(
        async () => {
          await Promise.all(Array.from({ length: 4 }, () => chainAudit(house.records, { batchRows: 3 })))
          return (await house.verify()).unsealed.rows
        },
        { timeout: 30_000 },
      )
      .toBe(0)
    expect(await house.verify()).toMatchObject({ rows: 30, batches: 10, found: 0 })
  })
})

describe('rolled back', () => {
  const cutOff = [
    `DELETE FROM audit_checkpoints WHERE no = 2`,
    `DELETE FROM audit_batch_rows WHERE batch_no = 2`,
    `DELETE FROM audit_batches WHERE no = 2`,
    `DELETE FROM files f USING audit_log l WHERE l.id = 3 AND l.subject_id = f.id::text`,
    `DELETE FROM audit_log WHERE id >= 3`,
  ]

  test('the database alone: the store knows a later checkpoint, and no new one is made over it', async () => {
    await history()
    await house.tamper(...cutOff)
    expect(await kinds()).toEqual(['database-behind copy 2'])
    await note()
    await expect(house.checkpoint()).rejects.toMatchObject({ code: 'AUDIT_BEHIND' })
  })

  test('the database alone, as a restore: adopted by an officer and an auditor, and the gap stays visible', async () => {
    await history()
    await house.tamper(...cutOff)
    await note()
    const people = await enrolTwo(house)
    await expect.poll(async () => (await chainAudit(house.records)).waiting.rows, { timeout: 60_000 }).toBe(0)
    const detail = await adoptionDetail(house.ports, 'the disk died')
    const ask = () => createRequest(house.records, { ...ADOPTION, detail, createdBy: 'cli:root' })
    const adopt = (request: string, reason = 'the disk died') =>
      adoptAudit(house.ports, { request, reason, actor: 'cli:root' })
    const two = await ask()
    await people.sign(two, 'ann', 'bob')
    await expect(adopt(two.id)).rejects.toMatchObject({ code: 'BAD_STATE' })
    const one = await ask()
    await people.sign(one, 'aud')
    await expect(adopt(one.id)).rejects.toMatchObject({ code: 'REQUEST_UNSIGNED' })
    await people.sign(one, 'ann')
    await expect(adopt(one.id, 'another reason')).rejects.toMatchObject({ code: 'REQUEST_MISMATCH' })
    expect((await adopt(one.id)).made).toMatchObject({ no: 3 })
    await house.checkpoint()
    const report = await house.verify()
    expect(report.findings).toEqual([])
    expect(report).toMatchObject({ adopted: [2], head: { no: 4 } })
    await expect(adopt(one.id)).rejects.toMatchObject({ code: 'BAD_STATE' })
  })

  test('the store alone: copies are missing', async () => {
    await history()
    await house.store.delete(checkpointKey(2))
    expect(await kinds()).toEqual(['copy-missing copy 2'])
  })

  test('both together: only what the auditor keeps shows it', async () => {
    await history()
    const { head } = await house.verify()
    if (head === null) throw new Error('no head')
    await house.tamper(...cutOff)
    await house.store.delete(checkpointKey(2))
    expect(await kinds()).toEqual([])
    expect(await kinds({ anchors: [parseAnchor(formatAnchor(head))] })).toEqual(['anchor-missing checkpoint 2'])
    expect(await kinds({ anchors: [parseExpectation(`2:${head.sha256}`)] })).toEqual(['anchor-missing checkpoint 2'])
    // And gone on with: a checkpoint of that number is another one.
    await note()
    await house.checkpoint()
    expect(await kinds({ anchors: [head] })).toEqual(['anchor-differs checkpoint 2'])
  })
})

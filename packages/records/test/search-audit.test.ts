import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { listAudit } from '../src/audit/append-audit.js'
import { searchAudit, type AuditFilter } from '../src/audit/search-audit.js'
import type { AuditRow } from '../src/db/terms.js'
import { openFixture, type Fixture } from './support.js'

const ROWS = 60
const HOUR = 3_600_000

let f: Fixture
let all: readonly AuditRow[]
beforeAll(async () => {
  f = await openFixture()
  // An hour between two rows: a time that ids do not follow to the minute, as in a log that many write to.
  await f.sql.query(`
    INSERT INTO audit_log (at, actor, action, subject_kind, subject_id)
    SELECT now() - (${ROWS} - i + (i % 2) * 2) * interval '1 hour', 'a' || i % 4,
      (ARRAY['file.commit', 'file.commit', 'files.remove', 'keys.rotate', 'file.commit.x', 'Keys.add', 'operators.add'])[i % 7 + 1],
      (ARRAY['file', 'key', 'batch'])[i % 3 + 1], 's' || i % 5
    FROM generate_series(1, ${ROWS}) i`)
  all = await searchAudit(f.records, { limit: 100_000 })
})
afterAll(() => f?.[Symbol.asyncDispose]())

/** What a filter means, said otherwise. */
function wanted({ since, actor, action, subjectId, limit }: AuditFilter): readonly string[] {
  return all
    .filter((row) => since === undefined || row.at >= since)
    .filter((row) => actor === undefined || row.actor === actor)
    .filter(
      (row) => action === undefined || (action.endsWith('.') ? row.action.startsWith(action) : row.action === action),
    )
    .filter((row) => subjectId === undefined || row.subjectId === subjectId)
    .slice(-limit)
    .map(({ id }) => id)
}

describe('the newest rows of a filter, oldest first', () => {
  test('are all of them without one', async () => {
    const { rows } = await f.sql.query<{ id: string }>('SELECT id::text AS id FROM audit_log ORDER BY audit_log.id')
    expect(rows.length).toBeGreaterThanOrEqual(ROWS)
    expect(all.map(({ id }) => id)).toEqual(rows.map(({ id }) => id))
  })

  test.each<Omit<AuditFilter, 'limit' | 'since'>>([
    {},
    { action: 'keys.rotate' },
    { action: 'file.' },
    { action: 'files.' },
    { action: 'keys.' },
    { action: 'nothing.' },
    { action: 'nothing' },
    { actor: 'a1' },
    { actor: 'nobody' },
    { actor: 'a2', action: 'file.commit' },
    { subjectId: 's3' },
    { subjectId: 's3', action: 'file.' },
    { subjectId: 's3', actor: 'a1' },
    { subjectId: 'nobody' },
  ])('by %j, whatever the window, the time and the limit', async (filter) => {
    for (const hours of [undefined, 0, 20, 1_000]) {
      const since = hours === undefined ? undefined : new Date(Date.now() - hours * HOUR)
      for (const limit of [1, 7, 1_000]) {
        const asked = { ...filter, since, limit }
        for (const window of [2, 59, 10_000]) {
          const rows = await searchAudit(f.records, asked, { window })
          expect(
            rows.map(({ id }) => id),
            JSON.stringify({ ...asked, window }),
          ).toEqual(wanted(asked))
        }
      }
    }
  })

  test('hold no more than what a row of the log has', async () => {
    const [row] = await searchAudit(f.records, { action: 'keys.rotate', limit: 1 })
    expect(Object.keys(row ?? {}).sort()).toEqual(['action', 'actor', 'at', 'detail', 'id', 'subjectId', 'subjectKind'])
  })

  test('stop where everything is older than a day before the time asked for, and when told to', async () => {
    const looked: number[] = []
    const since = new Date(Date.now() - HOUR)
    await searchAudit(f.records, { since, limit: 1_000 }, { window: 5, onLooked: (n) => void looked.push(n) })
    expect(looked.at(-1)).toBeLessThan(ROWS)
    const stop = AbortSignal.abort(new Error('stopped by a test'))
    await expect(searchAudit(f.records, { limit: 1 }, { signal: stop })).rejects.toThrow('stopped by a test')
  })
})

test('what was done to one subject is in the order of its numbers, not of their digits', async () => {
  const rows = await listAudit(f.records, { subjectKind: 'key', subjectId: 's1' })
  const ids = rows.map(({ id }) => Number(id))
  expect(new Set(ids.map((id) => String(id).length)).size).toBeGreaterThan(1)
  expect(ids).toEqual([...ids].sort((a, b) => a - b))
})

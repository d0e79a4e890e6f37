import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { getFile } from '../src/files/get-file.js'
import { commitOf, opened, openFixture, request, type Fixture } from './support.js'

/** Rows in a database whose tables have lost their constraints: restored without them, or changed by their owner. */
let f: Fixture
let fileId: string
beforeAll(async () => {
  f = await openFixture()
  const { rows } = await f.sql.query<{ drop: string }>(
    `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname) AS drop FROM pg_constraint
      WHERE contype IN ('c', 'f') AND conrelid IN ('attempts'::regclass, 'files'::regclass)`,
  )
  for (const { drop } of rows) await f.sql.query(drop)
  for (const table of ['attempts', 'files']) await f.sql.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`)
  const a = await opened(f)
  await commitAttempt(f.records, commitOf(a))
  fileId = a.fileId
})
afterAll(() => f?.[Symbol.asyncDispose]())

const damagedBy = (column: string, what: string) => ({
  name: 'RecordsError',
  code: 'RECORD_DAMAGED',
  message: expect.stringMatching(new RegExp(`^the record of file ${fileId} is damaged: ${column} .*${what}`)) as string,
})

async function changed(table: string, column: string, to: string, look: () => Promise<void>): Promise<void> {
  const id = table === 'files' ? 'id' : 'file_id'
  await f.sql.query('ALTER TABLE files ALTER COLUMN context DROP NOT NULL')
  await f.sql.query(`ALTER TABLE ${table} ALTER COLUMN ${column} DROP NOT NULL`)
  const { rows } = await f.sql.query<{ was: unknown }>(`SELECT ${column} AS was FROM ${table} WHERE ${id} = $1`, [
    fileId,
  ])
  await f.sql.query(`UPDATE ${table} SET ${column} = ${to} WHERE ${id} = $1`, [fileId])
  try {
    await look()
  } finally {
    await f.sql.query(`UPDATE ${table} SET ${column} = $2 WHERE ${id} = $1`, [fileId, rows[0]?.was])
  }
}

describe('a stored file', () => {
  test.each([
    ['attempts', 'nonce_enc', 'substr(nonce_enc, 1, 31)', 'has 31 bytes, not 32'],
    ['attempts', 'nonce_sig', 'NULL', 'has no value'],
    ['attempts', 'wrapped_nonces', "decode('00', 'hex')", 'stands beside attempts.nonce_enc'],
    ['attempts', 'htag', "''", 'has 0 bytes, not 32'],
    ['attempts', 'fmac', 'NULL', 'has no value'],
    ['attempts', 'object_sha256', "decode('00', 'hex')", 'has 1 bytes, not 32'],
    ['attempts', 'object_length', 'NULL', 'has no value'],
    ['attempts', 'plaintext_length', '-1', 'is out of its bounds'],
    ['attempts', 'plaintext_length', '9223372036854775807', 'is out of its bounds'],
    ['attempts', 'suite', '0', 'is out of its bounds'],
    ['attempts', 'seg_log2', '99', 'is out of its bounds'],
    ['attempts', 'attempt_no', '0', 'is out of its bounds'],
    ['attempts', 'bucket', "''", 'has no value'],
    ['attempts', 'object_key', "''", 'has no value'],
    ['attempts', 'state', "'OPEN'", ''],
    ['files', 'fingerprint', "decode('00', 'hex')", 'has 1 bytes, not 32'],
    ['files', 'context', "decode(repeat('00', 1025), 'hex')", 'has 1025 bytes, more than 1024'],
    ['files', 'source_path', "''", 'has no value'],
    ['files', 'generation', '0', 'is out of its bounds'],
    ['files', 'committed_attempt_id', 'NULL', 'has no value, and the file is STORED'],
    ['files', 'committed_attempt_id', 'gen_random_uuid()', 'names a committed attempt that is not there'],
  ])('with %s.%s = %s is told by its id and the column', async (table, column, to, what) => {
    const named = column === 'state' ? 'files.committed_attempt_id' : `${table}.${column}`
    await changed(table, column, to, () =>
      expect(getFile(f.records, fileId)).rejects.toMatchObject(damagedBy(named, what)),
    )
    expect((await getFile(f.records, fileId))?.committed?.fileId).toBe(fileId)
  })

  test('that nothing pins is told so', async () => {
    await changed('attempts', 'object_version', 'NULL', () =>
      changed('attempts', 'etag', 'NULL', () =>
        expect(getFile(f.records, fileId)).rejects.toMatchObject(damagedBy('attempts.object_version', 'nothing pins')),
      ),
    )
  })

  test.each(['context', 'fingerprint', 'source_path'])('with NULL in %s is RECORD_DAMAGED, too', async (column) => {
    await changed('files', column, 'NULL', () =>
      expect(getFile(f.records, fileId)).rejects.toMatchObject({
        code: 'RECORD_DAMAGED',
        message: expect.stringMatching(fileId) as string,
      }),
    )
  })
})

test('a waiting file is claimed with the damage, so that the claim can be ended as failed', async () => {
  const claim = request()
  const first = await claimFile(f.records, claim)
  expect(first.outcome).toBe('claimed')
  await f.sql.query(`UPDATE files SET context = NULL, lease_expires_at = now() - interval '1 second' WHERE id = $1`, [
    claim.fileId,
  ])
  expect(await claimFile(f.records, { ...claim, owner: 'another' })).toMatchObject({
    outcome: 'damaged',
    attemptNo: 2,
    error: { code: 'RECORD_DAMAGED', message: expect.stringContaining('files.context has no value') as string },
  })
  // Held by another: nothing to end, and no TypeError.
  await expect(claimFile(f.records, { ...claim, owner: 'a third' })).rejects.toMatchObject({ code: 'RECORD_DAMAGED' })
})

import { carryOutDue } from '@sealfleet/keys'
import { verifyAudit } from '@sealfleet/audit'
import type { KeyRow } from '@sealfleet/records'
import { longTest } from '@sealfleet/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { openDestroyHouse, type Begun, type DestroyHouse } from './destroy-house.js'

let house: DestroyHouse
let key: KeyRow
let file: Begun
beforeEach(async () => {
  house = await openDestroyHouse()
  file = await house.file()
  await house.rotate('enc', 2)
  key = await house.key('enc', 1)
  await house.schedule(key, { shred: 1 })
  expect(await carryOutDue(house, house.options)).toMatchObject({ destroyed: 1, copied: 1 })
})
afterEach(() => house?.[Symbol.asyncDispose]())

const kinds = async (): Promise<string[]> => {
  const { findings } = await verifyAudit({ records: house.records, store: house.store, hsm: house.pool })
  return findings.map(({ kind, subject }) => `${kind} ${subject}`).sort()
}
const tamper = async (...statements: readonly string[]): Promise<void> => {
  const client = await house.sql.connect()
  try {
    await client.query('BEGIN; SET LOCAL session_replication_role = replica')
    for (const statement of statements) await client.query(statement)
    await client.query('COMMIT')
  } finally {
    client.release()
  }
}

test('a file that was given up with its key is in order, there or gone with its rows', async () => {
  const other = await house.file()
  expect(await kinds()).toEqual([])
  const vanish = (id: string) =>
    tamper(`DELETE FROM attempts WHERE file_id = '${id}'`, `DELETE FROM files WHERE id = '${id}'`)
  await vanish(file.fileId)
  expect(await kinds()).toEqual([])
  // One under the key that lives is not.
  await vanish(other.fileId)
  expect(await kinds()).toEqual([`event-mismatch file ${other.fileId}`])
})

longTest(
  'a destruction that gave no file up explains none; a record that was changed is not the one that was signed',
  async () => {
    await tamper(`UPDATE destructions SET shred = FALSE`)
    // The record says that files were given up, and so does not bear the row out.
    expect(await kinds()).toEqual([`deletion-mismatch file ${file.fileId}`, `key-mismatch key ${key.label}`])
    await tamper(
      `UPDATE destructions SET shred = TRUE, record = convert_to(replace(convert_from(record, 'UTF8'), '"none"', '"some"'), 'UTF8')`,
    )
    expect(await kinds()).toEqual([`key-mismatch key ${key.label}`])
  },
)

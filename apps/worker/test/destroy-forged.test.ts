import { randomBytes } from 'node:crypto'

import { carryOutDestruction } from '@sealfleet/keys'
import { getRequest } from '@sealfleet/records/operators'
import { listDestructions } from '@sealfleet/records/keys'
import { setDomain } from '@sealfleet/records/fleet'
import type { KeyRow } from '@sealfleet/records'
import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { openDestroyHouse, type DestroyHouse } from './destroy-house.js'

/**
 * Someone who can write to the database, and has no officer's private key: what they write there destroys nothing. Nor does a
 * destruction wait less than was signed.
 */
let house: DestroyHouse
beforeAll(async () => {
  house = await openDestroyHouse()
})
afterAll(() => house?.[Symbol.asyncDispose]())

/** An enc version that only opens, with nothing sealed under it. */
async function oldKey(version: number): Promise<KeyRow> {
  await house.rotate('enc', version + 1)
  return house.key('enc', version)
}

/** Past the triggers, as the tables' owner can. */
async function tamper(sql: string, values: readonly unknown[]): Promise<void> {
  const client = await house.sql.connect()
  try {
    await client.query('SET session_replication_role = replica')
    await client.query(sql, [...values])
  } finally {
    client.release(true)
  }
}

async function refusal(destructionId: string): Promise<string> {
  const result = await carryOutDestruction(house, destructionId, house.options)
  return result.outcome === 'refused' ? result.code : result.outcome
}

test('a request that was marked as used without signatures is believed by no one', async () => {
  const key = await oldKey(1)
  const { id, requestId } = await house.schedule(key)
  await tamper(
    `DELETE FROM request_signatures WHERE request_id = $1 AND operator_id = (SELECT id FROM operators WHERE name = 'bob')`,
    [requestId],
  )
  expect(await refusal(id)).toBe('REQUEST_UNSIGNED')
  expect(await house.pool.hmac(key, randomBytes(32))).toHaveLength(32)
})

longTest('a signature of someone else in an officer’s place does not count', async () => {
  const key = await oldKey(2)
  const { id, requestId } = await house.schedule(key)
  await tamper('UPDATE request_signatures SET signature = $2 WHERE request_id = $1', [requestId, randomBytes(64)])
  expect(await refusal(id)).toBe('REQUEST_UNSIGNED')
  expect(await house.pool.hmac(key, randomBytes(32))).toHaveLength(32)
})

longTest('a time that was written to the row does not shorten the waiting period that was signed', async () => {
  const key = await oldKey(3)
  const { id } = await house.schedule(key, { waitSeconds: 3_600 })
  await house.sql.query(`UPDATE destructions SET execute_after = clock_timestamp() WHERE id = $1`, [id])
  expect(await refusal(id)).toBe('REQUEST_MISMATCH')
  expect(await house.pool.hmac(key, randomBytes(32))).toHaveLength(32)
})

longTest(
  'a domain that was renamed since is refused until it has its name back, or what was begun is finished',
  async () => {
    const key = await oldKey(4)
    const { id, requestId } = await house.schedule(key)
    const rename = (name: string) => house.records.transaction((tx) => setDomain(tx, 'default', { name }))
    await rename('another')
    const refused = await carryOutDestruction(house, id, house.options)
    expect(refused).toMatchObject({ outcome: 'refused', code: 'REQUEST_MISMATCH' })
    expect(refused).toMatchObject({
      error: { message: expect.stringContaining('which is named "another" now') as unknown },
    })
    const request = await getRequest(house.records, requestId ?? '')
    expect(request?.detail).toMatchObject({ domain: 'default', domainName: 'default', label: key.label })
    await house.sql.query('UPDATE destructions SET begun_at = clock_timestamp() WHERE id = $1', [id])
    expect(await refusal(id)).toBe('destroyed')
    const [row] = await listDestructions(house.records, { id })
    const record = JSON.parse(row?.record?.toString('utf8') ?? '{}') as { key: unknown }
    expect(record.key).toMatchObject({ domain: 'default', domainName: 'default' })
    await rename('default')
  },
)

longTest('what an officer signed stands, whatever becomes of the officer afterwards', async () => {
  const key = await oldKey(5)
  const { id } = await house.schedule(key)
  await house.sql.query(`UPDATE operators SET revoked_at = clock_timestamp(), revoked_by = 'test' WHERE name = 'bob'`)
  expect(await refusal(id)).toBe('destroyed')
})

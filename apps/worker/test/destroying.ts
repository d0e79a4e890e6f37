/** What tests of destruction share: a house with two tokens, a key that only opens, and what may need it. */
import { randomUUID } from 'node:crypto'
import { openKeyAdmin } from '@sealfleet/hsm'
import type { KeyRow } from '@sealfleet/records'
import type { FreshToken } from '@sealfleet/testkit'
import { afterEach } from 'vitest'
import { tokenOptions } from '@sealfleet/testkit/fleet'
import { openDestroyHouse, type DestroyHouse } from './destroy-house.js'

/** Of the test that runs. */
export let house: DestroyHouse

/** For a test file: what a test opened is closed when it ends. */
export function aHouseEach(): void {
  afterEach(() => house?.[Symbol.asyncDispose]())
}

export async function openHouse(o: Parameters<typeof openDestroyHouse>[0] = {}): Promise<void> {
  house = await openDestroyHouse(o)
}

/** A house whose enc 1 only opens, nothing sealed under it. */
export async function withOldKey(o: Parameters<typeof openDestroyHouse>[0] = {}): Promise<KeyRow> {
  await openHouse(o)
  await house.rotate('enc', 2)
  return house.key('enc', 1)
}

export async function inToken(token: FreshToken, { label }: KeyRow): Promise<number> {
  await using admin = await openKeyAdmin(tokenOptions(token))
  return (await admin.list()).filter((one) => one.label === label).length
}

export async function everywhere(key: KeyRow): Promise<number[]> {
  return [await inToken(house.primary, key), await inToken(house.secondary, key)]
}

export const terms = (shred: number | null = null) => ({ reason: 'r', backups: 'none', waitSeconds: 0, shred })
export const hold = (fileId: string | null = null) =>
  house.sql.query(
    `INSERT INTO holds (id, domain_id, file_id, reason, placed_by) VALUES ($1, '00000000-0000-0000-0000-000000000000', $2, 'court', 'legal')`,
    [randomUUID(), fileId],
  )
export const put = (key: string, body: Buffer) =>
  house.store.put({
    ...{ key, length: body.length, metadata: {} },
    body: (async function* () {
      yield await Promise.resolve(body)
    })(),
  })

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { cancelScheduled, carryOutDue } from '@sealfleet/keys'
import { listDestructions } from '@sealfleet/records/keys'
import type { KeyRow } from '@sealfleet/records'
import { every, longTest, matrix } from '@sealfleet/testkit'
import { expect } from 'vitest'
import { ACTOR } from './destroy-house.js'
import { aHouseEach, everywhere, house, inToken, withOldKey } from './destroying.js'

aHouseEach()

longTest(
  'a token out of reach: nothing is destroyed anywhere, the refusal is written down, and the next try goes through',
  async () => {
    const key = await withOldKey()
    await house.schedule(key)
    const tokens = join(house.secondary.dir, 'tokens')
    await rename(tokens, `${tokens}-away`)
    const report = await carryOutDue(house, house.options)
    expect(report).toMatchObject({ destroyed: 0, refused: 1, findings: [{ code: 'HSM_UNAVAILABLE' }] })
    expect(await inToken(house.primary, key)).toBe(1)
    const [row] = await listDestructions(house.records, { keyId: key.id })
    expect(row).toMatchObject({ begunAt: null, lastRefusal: { code: 'HSM_UNAVAILABLE' } })
    await rename(`${tokens}-away`, tokens)
    expect(await carryOutDue(house, house.options)).toMatchObject({ destroyed: 1 })
    expect(await everywhere(key)).toEqual([0, 0])
  },
)

longTest(
  'half destroyed, it cannot be taken back and stays scheduled until the other token has let go too',
  async () => {
    const key = await withOldKey()
    await house.schedule(key)
    const tokens = join(house.secondary.dir, 'tokens')
    const onStep = async (step: string): Promise<void> => {
      if (step === 'begun') await rename(tokens, `${tokens}-away`)
    }
    expect(await carryOutDue(house, { ...house.options, onStep })).toMatchObject({ destroyed: 0, refused: 1 })
    await rename(`${tokens}-away`, tokens)
    expect(await everywhere(key)).toEqual([0, 1])
    expect((await house.key('enc', 1)).state).toBe('DESTROY_SCHEDULED')
    const opened = () => Promise.resolve(house.tokens)
    await expect(
      cancelScheduled({ records: house.records, tokens: opened }, key, { actor: ACTOR, reason: 'too late' }),
    ).rejects.toMatchObject({ code: 'BAD_STATE' })
    expect(await carryOutDue(house, house.options)).toMatchObject({ destroyed: 1 })
    expect(await everywhere(key)).toEqual([0, 0])
    const [row] = await listDestructions(house.records, { keyId: key.id })
    expect(JSON.parse(String(row?.record))).toMatchObject({ tokens: [{ was: 'absent' }, { was: 'destroyed' }] })
  },
)

longTest(
  'begun and stopped before any token was told, it can still be taken back once the tokens have been asked',
  async () => {
    const key = await withOldKey()
    await house.schedule(key)
    const onStep = (): void => {
      throw new Error('stopped')
    }
    expect(await carryOutDue(house, { ...house.options, onStep })).toMatchObject({ refused: 1 })
    const opened = () => Promise.resolve(house.tokens)
    await cancelScheduled({ records: house.records, tokens: opened }, key, { actor: ACTOR, reason: 'in time' })
    expect((await house.key('enc', 1)).state).toBe('DECRYPT_ONLY')
    expect(await everywhere(key)).toEqual([1, 1])
  },
)

matrix(['proved', 'begun', 'committed'], every(3))(
  'killed at the step "%s", it is finished by the next run',
  async (step) => {
    const key = await withOldKey()
    await house.schedule(key)
    const script = join(import.meta.dirname, '../../../bundle/test-crash-destroyer.mjs')
    const child = spawn(process.execPath, [script], {
      env: { ...process.env, ...house.primary.env, DOOMED: JSON.stringify({ ...(house.settings as object), step }) },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
    expect(signal).toBe('SIGKILL')
    const gone = step === 'begun' ? [1, 1] : [0, 0]
    expect(await everywhere(key)).toEqual(gone)
    expect((await house.key('enc', 1)).state).toBe(step === 'committed' ? 'DESTROYED' : 'DESTROY_SCHEDULED')
    await lockFree(key)
    expect(await carryOutDue(house, house.options)).toMatchObject({ refused: 0, copied: 1, found: 0 })
    expect((await house.key('enc', 1)).state).toBe('DESTROYED')
    expect(await everywhere(key)).toEqual([0, 0])
  },
)

async function lockFree(key: KeyRow): Promise<void> {
  await house.sql.query('SELECT 1 FROM master_keys WHERE id = $1 FOR UPDATE', [key.id])
}

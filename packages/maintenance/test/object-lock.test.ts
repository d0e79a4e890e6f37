import { removeFile } from '@sealfleet/records/deletion'
import { traceFile } from '@sealfleet/records/files'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { scan } from '../src/scan.js'
import { sweep, sweepDeleted } from '../src/sweep.js'
import { openHouse, type House } from './support.js'

/** A bucket that keeps every object for a day. */
let house: House
beforeAll(async () => {
  house = await openHouse('radosgw', { retentionDays: 1 })
})
afterAll(() => house?.[Symbol.asyncDispose]())

const NOW = { graceSeconds: 0, actor: 'test' }
const LEFT = { objectsDeleted: 0, swept: 0, locked: 1, lockedUntil: expect.any(Date) as Date, found: 0 }

test('what the store keeps is left, counted with its date, and leaves no row in the audit log each time', async () => {
  const begun = await house.begin()
  await house.commit(begun, await house.upload(begun))
  await removeFile(house.records, { fileId: begun.fileId, actor: 'somebody', reason: 'a test' })
  expect(await sweepDeleted(house, begun.fileId, { actor: 'cli:somebody' })).toMatchObject(LEFT)
  expect(await sweep(house, { ...NOW, dryRun: true })).toMatchObject(LEFT)
  // Also what was tried out is past its own grace, and is kept.
  const swept = await sweep(house, { ...NOW, graceSeconds: -60, probeGraceSeconds: -60 })
  expect(swept).toMatchObject({ ...LEFT, locked: expect.any(Number) as number, probesDeleted: 0 })
  expect(swept.locked).toBeGreaterThan(1)
  expect(swept.lockedUntil?.getTime()).toBeGreaterThan(Date.now())
  expect(await scan(house, NOW)).toMatchObject({ objectsDeleted: 0, locked: 1, found: 0 })
  const trace = await traceFile(house.records, begun.fileId)
  expect(trace?.audit.map(({ action }) => action)).toEqual(['file.commit', 'files.remove'])
  expect(trace?.file.deletion).toMatchObject({ kind: 'REMOVED', sweptAt: null })
})

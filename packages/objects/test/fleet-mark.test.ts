import { getFleet } from '@sealfleet/records/fleet'
import { openStore, type Store } from '@sealfleet/store'
import { freshBucket, type FreshBucket } from '@sealfleet/testkit'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assertBucketIsOurs, claimBucket, FLEET_MARK, ownerOfBucket, takeOverBucket } from '../src/fleet-mark.js'
import { scan, sweep, sweepDeleted } from '@sealfleet/maintenance'
import { storedHeaders } from '../src/store-headers.js'
import { openHouse, type House } from '../../maintenance/test/support.js'

const MISMATCH = { code: 'FLEET_MISMATCH' }
const A = randomUUID()
const B = randomUUID()

describe.each([
  ['s3rver', {}],
  ['radosgw', {}],
  ['radosgw', { versioning: true }],
] as const)('a bucket of %s %o', (kind, options) => {
  let bucket: FreshBucket
  let store: Store
  beforeAll(async () => {
    bucket = await freshBucket(kind, options)
    store = await openStore(bucket)
  })
  afterAll(async () => {
    store?.close()
    await bucket?.[Symbol.asyncDispose]()
  })

  test('belongs to the fleet that comes first, until it is taken over', async () => {
    expect(await ownerOfBucket(store)).toBeUndefined()
    await assertBucketIsOurs(store, B)
    await claimBucket(store, A)
    await claimBucket(store, A)
    await expect(claimBucket(store, B)).rejects.toMatchObject({
      ...MISMATCH,
      message: `bucket ${store.bucket} belongs to fleet ${A}, and this is fleet ${B}`,
    })
    expect(await takeOverBucket(store, B)).toBe(A)
    expect(await takeOverBucket(store, B)).toBeUndefined()
    await expect(claimBucket(store, A)).rejects.toMatchObject(MISMATCH)
    await claimBucket(store, B)
  })
})

describe('in the bucket of another fleet', () => {
  let house: House
  beforeAll(async () => {
    house = await openHouse('s3rver')
    await claimBucket(house.store, A)
  })
  afterAll(() => house?.[Symbol.asyncDispose]())
  const options = { graceSeconds: 0, actor: 'test' }

  test('nothing is swept and nothing scanned', async () => {
    await expect(sweep(house, options)).rejects.toMatchObject(MISMATCH)
    await expect(scan(house, options)).rejects.toMatchObject(MISMATCH)
    await expect(sweepDeleted(house, randomUUID(), options)).rejects.toMatchObject(MISMATCH)
  })

  test('once it is taken over, the mark is no file, and stays', async () => {
    await takeOverBucket(house.store, (await getFleet(house.records)).id)
    expect(await scan(house, options)).toMatchObject({ unknown: 0, objectsDeleted: 0, found: 0 })
    expect(await sweep(house, options)).toMatchObject({ objectsDeleted: 0, probesDeleted: 0 })
    const headers = []
    for await (const found of storedHeaders(house.store)) headers.push(found)
    expect(headers).toEqual([])
    expect((await house.store.head(FLEET_MARK)).key).toBe(FLEET_MARK)
  })
})

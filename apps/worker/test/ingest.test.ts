import { createHash, randomBytes } from 'node:crypto'

import { getFile } from '@sealfleet/records/files'
import type { S3ServerKind } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { startFleet, type Fleet } from './fleet.js'

const DETACHED = '6b0f3a52-6a43-4d39-9f6f-2f6f5a1c9d01'
const SUITE_2 = '6b0f3a52-6a43-4d39-9f6f-2f6f5a1c9d02'
const MiB = 2 ** 20

describe('ingest, end to end, on radosgw', () => endToEnd('radosgw'))
describe('ingest, end to end, on s3rver', { tags: ['long'] }, () => endToEnd('s3rver'))

function endToEnd(s3: S3ServerKind): void {
  let fleet: Fleet

  beforeAll(async () => {
    fleet = await startFleet({
      s3,
      domains: [
        { id: DETACHED, nonceMode: 'detached', lossAcknowledged: true },
        { id: SUITE_2, suite: 2, segLog2: 16 },
      ],
    })
    await fleet.startWorker()
  })

  afterAll(async () => {
    await fleet?.[Symbol.asyncDispose]()
  })

  const sizes = [0, 1, MiB - 1, MiB, MiB + 1, 17 * MiB]

  test.each(['default', DETACHED, SUITE_2])(
    'sizes 0, 1, 1 MiB ± 1 and 17 MiB come back identical (domain %s)',
    async (domain) => {
      const context = Buffer.from(`context of ${domain}`)
      const contents = sizes.map((size) => randomBytes(size))
      const requests = sizes.map((size) => ({
        id: `${domain}-${size}`,
        domain,
        root: 'in',
        path: `${domain}/${size}`,
        context,
      }))
      for (const [i, request] of requests.entries()) await fleet.writeSource(request.path, contents[i] ?? '')
      const results = await fleet.producer.client.enqueueMany(requests)
      const ids = results.map(({ fileId }) => String(fileId))
      const states = await fleet.settled(ids)
      expect(ids.map((id) => states.get(id)?.state)).toEqual(sizes.map(() => 'STORED'))
      for (const [i, id] of ids.entries()) {
        const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
        expect(digest(await fleet.restore(id, context))).toBe(digest(contents[i] ?? Buffer.alloc(0)))
      }
      await expect(fleet.restore(ids[1] ?? '', Buffer.from('another'))).rejects.toMatchObject({ code: 'E_CONTEXT' })
    },
  )

  test('the same request again is not sealed again', async () => {
    await fleet.writeSource('again', 'once')
    const request = { id: 'again', root: 'in', path: 'again' }
    const { fileId } = await fleet.producer.client.enqueue(request)
    await fleet.settled([fileId ?? ''])
    const first = await getFile(fleet.records, fileId ?? '')
    expect((await fleet.producer.client.enqueue(request)).outcome).toBe('stored')
    const second = await getFile(fleet.records, fileId ?? '')
    expect(second?.committed?.id).toBe(first?.committed?.id)
    await expect(fleet.producer.client.enqueue({ ...request, path: 'other' })).rejects.toMatchObject({
      code: 'REQUEST_CONFLICT',
    })
  })

  test.each([
    ['missing', 'SOURCE_MISSING'],
    ['folder', 'SOURCE_NOT_REGULAR'],
  ])('a source that is %s is dead at once: %s', async (name, code) => {
    await fleet.writeSource('folder/file', 'x')
    const { fileId } = await fleet.producer.client.enqueue({ root: 'in', path: name })
    const states = await fleet.settled([fileId ?? ''])
    expect(states.get(fileId ?? '')).toMatchObject({ state: 'DEAD', code })
  })
}

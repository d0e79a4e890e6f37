import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'

import type { S3ServerKind } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { startFleet, type Fleet } from './fleet.js'

/** `npm run test:full` sets this; without it the same tests run on smaller amounts. */
const FULL = process.env['SEALFLEET_TEST_FULL'] === '1'
const LARGE = FULL ? 2 ** 30 : 96 * 2 ** 20
const MANY = FULL ? 2_000 : 60

describe.each<S3ServerKind>(['s3rver', 'radosgw'])('volume, on %s', { tags: ['long'] }, (s3) => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet({ s3 })
    await fleet.startWorker()
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  test(`one file of ${LARGE / 2 ** 20} MiB comes back identical`, { timeout: 900_000 }, async () => {
    await fleet.writeSource('large', '')
    await pipeline(randomStream(LARGE), createWriteStream(path.join(fleet.root, 'in', 'large')))
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: 'large' })
    expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
    const source = await digestOf(createReadStream(path.join(fleet.root, 'in', 'large')))
    expect(await digestOf(fleet.read(fileId))).toBe(source)
  })

  test(`a folder of ${MANY} small files comes back identical`, { timeout: 900_000 }, async () => {
    const contents = Array.from({ length: MANY }, (_, i) => randomBytes((i * 37) % 5_000))
    for (const [i, content] of contents.entries()) await fleet.writeSource(`many/${i % 10}/${i}`, content)
    const results = await fleet.producer.client.enqueueMany(
      contents.map((_, i) => ({ root: 'in', path: `many/${i % 10}/${i}` })),
    )
    const ids = results.map(({ fileId }) => fileId ?? '')
    const states = await fleet.settled(ids)
    expect([...states.values()].filter(({ state }) => state !== 'STORED')).toEqual([])
    expect(new Set(ids).size).toBe(MANY)
    for (const [i, id] of ids.entries()) {
      if (!(await fleet.restore(id)).equals(contents[i] ?? Buffer.of())) expect.fail(`file ${i} came back different`)
    }
  })
})

async function* randomStream(length: number): AsyncGenerator<Buffer> {
  for (let left = length; left > 0; left -= 2 ** 20) {
    yield randomBytes(Math.min(left, 2 ** 20))
    await new Promise(setImmediate)
  }
}

async function digestOf(chunks: AsyncIterable<unknown>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of chunks) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

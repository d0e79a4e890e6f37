import { randomBytes } from 'node:crypto'

import { getFile } from '@sealfleet/records/files'
import type { AttemptRow } from '@sealfleet/records'
import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, expect } from 'vitest'

import { makeKeys } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet()
})
afterAll(() => fleet?.[Symbol.asyncDispose]())

longTest(
  'keys are rotated twice while workers run: no restart, no failure, each file opens under the version it was sealed with',
  async () => {
    await using _one = await fleet.startWorker({ env: { SEALFLEET_CONCURRENCY: '3' } })
    await using _two = await fleet.startWorker({ env: { SEALFLEET_CONCURRENCY: '3' } })
    const contents = new Map<string, Buffer>()
    const enqueue = async (wave: number): Promise<void> => {
      const names = Array.from({ length: 60 }, (_, i) => `wave-${wave}-${i}`)
      for (const name of names) {
        const content = randomBytes(20_000)
        await fleet.writeSource(name, content)
        const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: name })
        contents.set(fileId, content)
      }
    }
    await enqueue(1)
    // The rotation happens while files of the first wave are under way.
    await makeKeys(fleet.records, fleet.token, { id: 'default' }, 2)
    await enqueue(2)
    await makeKeys(fleet.records, fleet.token, { id: 'default' }, 3)
    await enqueue(3)

    const ids = [...contents.keys()]
    const states = await fleet.settled(ids)
    expect([...states.values()].filter(({ state }) => state !== 'STORED')).toEqual([])
    const stored = await Promise.all(ids.map(async (id) => (await getFile(fleet.records, id))?.committed as AttemptRow))
    const versions = stored.map(({ encKeyVersion, sigKeyVersion }) => [encKeyVersion, sigKeyVersion])
    expect(stored.map(({ attemptNo }) => attemptNo).every((n) => n === 1)).toBe(true)
    expect(new Set(versions.flat())).toEqual(new Set([1, 2, 3]))
    // From the moment a version is active, whatever is enqueued is sealed with it or a later one.
    expect(Math.min(...versions.slice(60, 120).flat())).toBeGreaterThanOrEqual(2)
    expect(
      versions
        .slice(120)
        .flat()
        .every((version) => version === 3),
    ).toBe(true)
    for (const id of [ids[0], ids[59], ids[60], ids[119], ids[179]])
      expect((await fleet.restore(id ?? '')).equals(contents.get(id ?? '') ?? Buffer.alloc(0))).toBe(true)
  },
)

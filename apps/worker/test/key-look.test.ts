import { getEventListeners } from 'node:events'

import type { KeyOnToken } from '@sealfleet/hsm'
import type { KeyRow } from '@sealfleet/records'
import { describe, expect, test } from 'vitest'

import { lookAt } from '../src/key-watch.js'

const KEY = { id: 'key', role: 'enc', domain: 'default', suite: 1, version: 2, checkValue: Buffer.alloc(8) } as KeyRow

/** A pool that answers as the test says. */
function poolOf(answer: () => Promise<readonly KeyOnToken[]>) {
  return { expectCheckValue: () => undefined, expectKekRecord: () => undefined, keyOnTokens: answer }
}

describe('a look at pending keys', () => {
  test('leaves no listener on the signal, however often it looks', async () => {
    const { signal } = new AbortController()
    const pool = poolOf(() => Promise.resolve([{ token: 'primary', state: 'ok' }]))
    for (const keys of [[], [KEY], [KEY, KEY]]) {
      const report = await lookAt(pool, keys, signal)
      expect(report).toEqual({ confirmed: keys.map(({ id }) => id), lacking: [] })
      expect(getEventListeners(signal, 'abort')).toEqual([])
    }
  })

  test('ends when its worker stops, though the module hangs', async () => {
    const stop = new AbortController()
    const looking = lookAt(
      poolOf(() => new Promise(() => undefined)),
      [KEY],
      stop.signal,
    )
    stop.abort(new Error('stopping'))
    await expect(looking).rejects.toThrow('stopping')
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  })
})

import { getEventListeners } from 'node:events'

import type { HsmPool } from '@sealfleet/hsm'
import { expect, test } from 'vitest'

import { lookAt } from '../src/key-watch.js'
import type { CheckValues } from '../src/records-port.js'

/** Nobody is asked: there is no key to look for, as on nearly every look of a worker's life. */
const pool = {} as CheckValues & Pick<HsmPool, 'keyOnTokens'>

test('a look leaves nothing behind that listens to the worker’s signal', async () => {
  const { signal } = new AbortController()
  for (let look = 0; look < 3; look++) expect(await lookAt(pool, [], signal)).toEqual({ confirmed: [], lacking: [] })
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

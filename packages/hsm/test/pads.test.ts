import { secrets } from '@sealfleet/format'
import { describe, expect, it } from 'vitest'

import { KIND } from '../src/wire/frames.js'
import { applyPad, padLength, Pads } from '../src/wire/pads.js'

const answer = () => Buffer.alloc(32, 0x5a)

describe('the pad of a secret answer', () => {
  it('is asked for with derivations and unwrapped nonces, and with nothing else', () => {
    const padded = Object.entries(KIND).flatMap(([name, kind]) => (padLength(kind) === 0 ? [] : [name]))
    expect(padded).toEqual(['HMAC', 'UNWRAP', 'SEAL'])
    expect(new Pads().open(KIND.WRAP, 1)).toBeUndefined()
  })

  it('hides the answer, comes off once, and is another for each request', () => {
    const pads = new Pads()
    const taken = [1, 2].map((id) => Buffer.from(pads.open(KIND.HMAC, id) ?? Buffer.of()))
    expect(taken[0]).not.toEqual(taken[1])
    const crossed = answer()
    applyPad(crossed, taken[1] ?? Buffer.of())
    expect(crossed).not.toEqual(answer())
    pads.lift(2, crossed)
    expect(crossed).toEqual(answer())
    pads.lift(2, crossed)
    expect(crossed).toEqual(answer())
  })

  it('is wiped with the answer, with a failure, and with the agent', () => {
    const before = secrets.use.live
    const pads = new Pads()
    const [answered, failed, lost] = [1, 2, 3].map((id) => pads.open(KIND.UNWRAP, id))
    expect(secrets.use.live).toBe(before + 3)
    pads.lift(1, Buffer.alloc(64))
    pads.close(2)
    pads.closeAll()
    for (const pad of [answered, failed, lost]) expect(pad?.every((byte) => byte === 0)).toBe(true)
    expect(secrets.use.live).toBe(before)
  })

  it('leaves an answer of another length as it came: it is refused', () => {
    const pads = new Pads()
    pads.open(KIND.HMAC, 1)
    const short = Buffer.alloc(31, 1)
    pads.lift(1, short)
    expect(short).toEqual(Buffer.alloc(31, 1))
  })
})

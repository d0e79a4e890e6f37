import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { FailoverPolicy, type Outage } from '../src/pool/failover-policy.js'

const OK = undefined

describe('the choice of a token', () => {
  it('leaves a token that is out for the most preferred one that can serve', () => {
    const choice = new FailoverPolicy(3)
    expect(choice.look([OK, OK, OK])).toBeUndefined()
    expect(choice.look(['breaker', 'agents', OK])).toEqual({ from: 0, to: 2, reason: 'breaker' })
    expect(choice.look(['denied', OK, OK])).toBeUndefined()
    expect(choice.active).toBe(2)
    expect(choice.look(['denied', OK, 'agents'])).toEqual({ from: 2, to: 1, reason: 'agents' })
  })

  it('changes nothing while no token can serve', () => {
    const choice = new FailoverPolicy(2)
    expect(choice.look(['agents', 'agents'])).toBeUndefined()
    expect(choice.active).toBe(0)
  })

  it('goes back after three good probes in a row, not after two and a bad one or an outage', () => {
    const choice = new FailoverPolicy(2)
    choice.look(['agents', OK])
    choice.look([OK, OK])
    for (const passed of [true, true, false, true, true]) expect(choice.probed(0, passed)).toBeUndefined()
    choice.look(['breaker', OK])
    choice.look([OK, OK])
    for (const passed of [true, true]) expect(choice.probed(0, passed)).toBeUndefined()
    expect(choice.probed(0, true)).toEqual({ from: 1, to: 0, reason: 'returned' })
  })

  const outage = fc.constantFrom<(Outage | undefined)[]>(undefined, undefined, 'breaker', 'agents', 'denied')
  const step = fc.oneof(
    fc.record({ do: fc.constant('look' as const), outages: fc.array(outage, { minLength: 3, maxLength: 3 }) }),
    fc.record({ do: fc.constant('probe' as const), index: fc.nat(2), passed: fc.boolean() }),
    fc.record({ do: fc.constant('probe' as const), index: fc.constant(0), passed: fc.constant(true) }),
  )

  it('is never without a token that could serve, and never moves without a reason', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const choice = new FailoverPolicy(3)
        let outages: (Outage | undefined)[] = [OK, OK, OK]
        // The model: good probes of each token since its last bad one, its last outage, and the last switch.
        let passes = [0, 0, 0]
        for (const s of steps) {
          const before = choice.active
          if (s.do === 'look') {
            outages = s.outages
            passes = passes.map((n, i) => (outages[i] === OK ? n : 0))
            const change = choice.look(outages)
            const able = outages.indexOf(OK)
            if (outages[before] === OK || able < 0) expect(change).toBeUndefined()
            else expect(change).toEqual({ from: before, to: able, reason: outages[before] })
            if (outages.includes(OK)) expect(outages[choice.active]).toBe(OK)
          } else {
            passes[s.index] = s.passed ? (passes[s.index] ?? 0) + 1 : 0
            const change = choice.probed(s.index, s.passed)
            const due = s.index < before && outages[s.index] === OK && (passes[s.index] ?? 0) >= 3
            expect(change).toEqual(due ? { from: before, to: s.index, reason: 'returned' } : undefined)
          }
          if (choice.active !== before) passes = [0, 0, 0]
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

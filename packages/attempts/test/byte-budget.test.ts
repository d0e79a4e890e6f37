import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { ByteBudget } from '../src/byte-budget.js'

describe('ByteBudget', () => {
  test('never hands out more than its capacity, serves everybody, and ends empty', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 150 }), { maxLength: 40 }), async (needs) => {
        const budget = new ByteBudget(100)
        let most = 0
        await Promise.all(
          needs.map(async (need) => {
            using _held = await budget.acquire(need)
            most = Math.max(most, budget.inUse)
            await new Promise(setImmediate)
          }),
        )
        expect(most).toBeLessThanOrEqual(100)
        expect(budget.inUse).toBe(0)
        expect(budget.waiters).toBe(0)
      }),
      { numRuns: 50 },
    )
  })

  test('tells each change of the bytes in use, also when a waiter is served', async () => {
    const told: number[] = []
    const budget = new ByteBudget(10, (inUse) => told.push(inUse))
    const first = await budget.acquire(8)
    const second = budget.acquire(6)
    first[Symbol.dispose]()
    ;(await second)[Symbol.dispose]()
    expect(told).toEqual([8, 0, 6, 0])
  })

  test('a large need is not starved by small ones behind it', async () => {
    const budget = new ByteBudget(10)
    const first = await budget.acquire(5)
    const order: string[] = []
    const large = budget.acquire(10).then((held) => {
      order.push('large')
      held[Symbol.dispose]()
    })
    const small = budget.acquire(1).then((held) => {
      order.push('small')
      held[Symbol.dispose]()
    })
    first[Symbol.dispose]()
    await Promise.all([large, small])
    expect(order).toEqual(['large', 'small'])
  })

  test('an aborted waiter leaves the queue and those behind it are served', async () => {
    const budget = new ByteBudget(10)
    const held = await budget.acquire(8)
    const controller = new AbortController()
    const large = budget.acquire(10, controller.signal)
    const small = budget.acquire(2)
    controller.abort(new Error('stop'))
    await expect(large).rejects.toThrow('stop')
    await small
    expect(budget.inUse).toBe(10)
    held[Symbol.dispose]()
    held[Symbol.dispose]() // giving back twice gives back once
    expect(budget.inUse).toBe(2)
  })
})

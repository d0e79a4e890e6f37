import { once } from 'node:events'

import { describe, expect, test } from 'vitest'

import { FencedError, Lease } from '../src/lease.js'

describe('Lease', () => {
  test('a renewal that finds the file taken aborts with FENCED', async () => {
    await using lease = new Lease({ renew: () => Promise.resolve(false), leaseSeconds: 60, renewEveryMs: 5 })
    await once(lease.signal, 'abort')
    expect(lease.signal.reason).toBeInstanceOf(FencedError)
    expect(() => lease.assertHeld()).toThrow('another attempt')
  })

  test('renewals that succeed keep it; a database out of reach ends it only after a whole lease', async () => {
    let now = 0
    let down = false
    let calls = 0
    let arrived = (): void => undefined
    await using lease = new Lease({
      renew: () => {
        calls += 1
        arrived()
        return down ? Promise.reject(new Error('connection refused')) : Promise.resolve(true)
      },
      leaseSeconds: 60,
      renewEveryMs: 2,
      now: () => now,
    })
    const nextCall = (): Promise<void> => new Promise((resolve) => (arrived = resolve))
    await nextCall()
    now = 50_000
    await nextCall()
    await nextCall()
    expect(() => lease.assertHeld()).not.toThrow()
    now = 100_000 // 50 s after the last good renewal
    down = true
    await nextCall()
    await nextCall()
    expect(() => lease.assertHeld()).not.toThrow()
    now = 200_000
    await once(lease.signal, 'abort')
    expect(lease.signal.reason).toBeInstanceOf(FencedError)
    const after = calls
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(calls).toBe(after)
  })

  test('a process stopped past its lease knows it at the next check, before any tick', async () => {
    let now = 0
    await using lease = new Lease({
      renew: () => Promise.resolve(true),
      leaseSeconds: 60,
      renewEveryMs: 60_000,
      now: () => now,
    })
    now = 60_001
    expect(() => lease.assertHeld()).toThrow(FencedError)
  })
})

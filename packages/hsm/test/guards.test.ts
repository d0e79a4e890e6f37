import { describe, expect, it } from 'vitest'

import { TokenBreaker, type BreakerState } from '../src/pool/breaker.js'
import { memoryPinLockout, type LoginOutcome } from '../src/pool/pin-lockout.js'
import { RestartBudget } from '../src/pool/restarts.js'

const ID = { serial: '1', token: 't', pinId: 'p' }

describe('the breaker', () => {
  function breakerAt(start = 0) {
    const clock = { now: start }
    const states: BreakerState[] = []
    const breaker = new TokenBreaker(
      () => clock.now,
      (state) => states.push(state),
    )
    return { clock, states, breaker }
  }

  it('opens at the fifth failure in a row, not at four with a success between', () => {
    const { breaker } = breakerAt()
    for (let i = 0; i < 4; i += 1) breaker.failure()
    breaker.success()
    for (let i = 0; i < 4; i += 1) breaker.failure()
    expect(breaker.state).toBe('closed')
    breaker.failure()
    expect(breaker.state).toBe('open')
  })

  it('opens when half of the last ten seconds failed, and forgets what is older', () => {
    const { breaker, clock } = breakerAt()
    for (let i = 0; i < 4; i += 1) {
      breaker.failure()
      breaker.success()
    }
    expect(breaker.state).toBe('closed')
    clock.now += 11_000
    breaker.failure()
    breaker.success()
    expect(breaker.state).toBe('closed')
    for (let i = 0; i < 4; i += 1) {
      breaker.success()
      breaker.failure()
    }
    expect(breaker.state).toBe('open')
  })

  it('lets one probe through after a pause, and waits again when it fails', () => {
    const { breaker, clock, states } = breakerAt()
    for (let i = 0; i < 5; i += 1) breaker.failure()
    expect(breaker.takeProbe()).toBe(false)
    clock.now += 2_000
    expect(breaker.takeProbe()).toBe(true)
    expect(breaker.takeProbe()).toBe(false)
    breaker.failure()
    clock.now += 1_000
    expect(breaker.takeProbe()).toBe(false)
    clock.now += 1_000
    expect(breaker.takeProbe()).toBe(true)
    breaker.success()
    expect(states).toEqual(['open', 'half-open', 'open', 'half-open', 'closed'])
  })
})

describe('the restart budget', () => {
  it('gives three at once and then one an interval, never saving up more than three', () => {
    const clock = { now: 0 }
    const budget = new RestartBudget(30_000, () => clock.now)
    const taken = () => Array.from({ length: 5 }, () => budget.take()).filter(Boolean).length
    expect(taken()).toBe(3)
    clock.now += 29_999
    expect(taken()).toBe(0)
    clock.now += 1
    expect(taken()).toBe(1)
    clock.now += 3_600_000
    expect(taken()).toBe(3)
  })
})

describe('the PIN lockout', () => {
  it('never runs a login again after a rejection, until it is reset', async () => {
    const lockout = memoryPinLockout()
    let logins = 0
    const login = (outcome: LoginOutcome) => () => {
      logins += 1
      return Promise.resolve(outcome)
    }
    expect(await lockout.guard(ID, login('rejected'))).toBe('rejected')
    expect(await lockout.guard(ID, login('accepted'))).toBe('locked-out')
    expect(logins).toBe(1)
    expect(await lockout.guard({ ...ID, pinId: 'other' }, login('accepted'))).toBe('accepted')
    lockout.reset(ID)
    expect(await lockout.guard(ID, login('accepted'))).toBe('accepted')
  })

  it('lets one caller at a time try a PIN that was never accepted, and all once it was', async () => {
    const lockout = memoryPinLockout()
    let running = 0
    let most = 0
    const login = async (): Promise<LoginOutcome> => {
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      return 'failed'
    }
    await Promise.all(Array.from({ length: 4 }, () => lockout.guard(ID, login)))
    expect(most).toBe(1)
    await lockout.guard(ID, () => Promise.resolve('accepted'))
    await Promise.all(Array.from({ length: 4 }, () => lockout.guard(ID, login)))
    expect(most).toBe(4)
  })

  it('makes those who waited for a rejected PIN not try it', async () => {
    const lockout = memoryPinLockout()
    const outcomes = await Promise.all(
      Array.from({ length: 4 }, () => lockout.guard(ID, () => Promise.resolve('rejected'))),
    )
    expect(outcomes).toEqual(['rejected', 'locked-out', 'locked-out', 'locked-out'])
  })

  it('goes on after a login that threw', async () => {
    const lockout = memoryPinLockout()
    const failing = lockout.guard(ID, () => Promise.reject(new Error('database')))
    await expect(failing).rejects.toThrow('database')
    expect(await lockout.guard(ID, () => Promise.resolve('accepted'))).toBe('accepted')
  })
})

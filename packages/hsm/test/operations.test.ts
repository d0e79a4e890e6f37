import { createHmac, randomBytes } from 'node:crypto'

import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'

import { Operations } from '../src/agent/operations.js'
import { CKR } from '../src/errors/ckr.js'
import type { Notice } from '../src/wire/messages.js'
import { FakeCryptoki } from './fake-cryptoki.js'

const LABEL = 'sealfleet/default/enc/s1/1'

class Agent {
  readonly module = new FakeCryptoki()
  readonly notices: Notice[] = []
  readonly value = randomBytes(32)
  readonly operations: Operations
  readonly slept: number[] = []
  /** Resolves before each login: anyone who holds the PIN lockout is asked first. */
  mayLogIn: () => Promise<void> = () => Promise.resolve()
  now = 1_000_000

  constructor(sessions = 4) {
    this.module.keys.set(LABEL, this.value)
    this.operations = new Operations(this.module, {
      sessions,
      hardTimeoutMs: 5_000,
      login: async (anchor) => {
        await this.mayLogIn()
        this.module.login(anchor)
      },
      notice: (notice) => this.notices.push(notice),
      now: () => this.now,
      sleep: (ms) => {
        this.slept.push(ms)
        return Promise.resolve()
      },
      random: () => 0.5,
    })
  }

  async hmac(message: Buffer): Promise<Buffer> {
    return this.operations.run(LABEL, async (session, key) => {
      session.input = [message]
      await this.operations.keys.hmac(session, key, message)
      return Buffer.from(session.out.subarray(0, 32))
    })
  }

  /** Runs `count` operations at once and counts right answers; rejects like the first that failed. */
  async right(count: number): Promise<number> {
    const messages = Array.from({ length: count }, () => randomBytes(32))
    const answers = await Promise.all(messages.map((message) => this.hmac(message)))
    return answers.filter((answer, i) => answer.equals(this.expected(messages[i] ?? Buffer.alloc(0)))).length
  }

  expected(message: Buffer): Buffer {
    return createHmac('sha256', this.value).update(message).digest()
  }
}

describe('operations inside the agent', () => {
  let agent: Agent

  beforeEach(async () => {
    agent = new Agent()
    expect(await agent.operations.start()).toBe(4)
    expect(await agent.right(1)).toBe(1)
  })

  it('finds a key once and uses its handle from then on', async () => {
    expect(await agent.right(20)).toBe(20)
    expect(agent.module.log.filter((fn) => fn === 'C_FindObjects')).toHaveLength(1)
    expect(agent.operations.sessions.counts()).toEqual({ idle: 4, leased: 0, hung: 0, broken: 0 })
  })

  it.each([
    ['C_Sign', CKR.FUNCTION_FAILED],
    ['C_Sign', CKR.HOST_MEMORY],
    ['C_SignInit', CKR.SESSION_HANDLE_INVALID],
    ['C_SignInit', CKR.SESSION_CLOSED],
    ['C_SignInit', CKR.OPERATION_ACTIVE],
    ['C_Sign', CKR.OPERATION_NOT_INITIALIZED],
    ['C_Sign', CKR.FUNCTION_CANCELED],
    ['C_Sign', CKR.BUFFER_TOO_SMALL],
    ['C_SignInit', CKR.USER_NOT_LOGGED_IN],
    ['C_SignInit', CKR.KEY_HANDLE_INVALID],
    ['C_SignInit', CKR.OBJECT_HANDLE_INVALID],
    ['C_Sign', CKR.KEY_CHANGED],
    ['C_Sign', CKR.GENERAL_ERROR],
    ['C_Sign', 0x8000_0001],
  ])('heals %s returning %i once, by itself', async (fn, ckr) => {
    agent.module.script.push({ fn, ckr })
    expect(await agent.right(1)).toBe(1)
    expect(agent.module.script).toEqual([])
    expect(agent.notices).toContainEqual(expect.objectContaining({ what: 'error', ckr, fn }))
    expect(await agent.right(8)).toBe(8)
  })

  it.each([
    ['C_Sign', CKR.DEVICE_ERROR, 'recycle'],
    ['C_Sign', CKR.DEVICE_REMOVED, 'recycle'],
    ['C_SignInit', CKR.CRYPTOKI_NOT_INITIALIZED, 'recycle'],
    ['C_SignInit', CKR.TOKEN_NOT_PRESENT, 'recycle'],
    ['C_SignInit', CKR.MECHANISM_INVALID, 'denied'],
    ['C_SignInit', CKR.KEY_FUNCTION_NOT_PERMITTED, 'denied'],
    ['C_Sign', CKR.DATA_LEN_RANGE, 'data'],
    ['C_SignInit', CKR.PIN_EXPIRED, 'login'],
  ])('leaves %s returning %i to the parent, as %s', async (fn, ckr, verdict) => {
    agent.module.script.push({ fn, ckr })
    await expect(agent.hmac(randomBytes(32))).rejects.toMatchObject({ verdict })
    expect(await agent.right(8)).toBe(8)
  })

  it('tries a busy session three times after 50 to 400 ms and then a new one once', async () => {
    for (let i = 0; i < 4; i += 1) agent.module.script.push({ fn: 'C_Sign', ckr: CKR.FUNCTION_FAILED })
    expect(await agent.right(1)).toBe(1)
    expect(agent.slept).toHaveLength(3)
    for (const ms of agent.slept) {
      expect(ms).toBeGreaterThanOrEqual(50)
      expect(ms).toBeLessThanOrEqual(400)
    }
    for (let i = 0; i < 5; i += 1) agent.module.script.push({ fn: 'C_Sign', ckr: CKR.FUNCTION_FAILED })
    await expect(agent.hmac(randomBytes(32))).rejects.toMatchObject({ verdict: 'recycle' })
  })

  it('takes a second GENERAL_ERROR within 30 s for a broken device, and forgets the first after that', async () => {
    agent.module.script.push({ fn: 'C_Sign', ckr: CKR.GENERAL_ERROR })
    expect(await agent.right(1)).toBe(1)
    agent.now += 31_000
    agent.module.script.push({ fn: 'C_Sign', ckr: CKR.GENERAL_ERROR })
    expect(await agent.right(1)).toBe(1)
    agent.now += 29_000
    agent.module.script.push({ fn: 'C_Sign', ckr: CKR.GENERAL_ERROR })
    await expect(agent.hmac(randomBytes(32))).rejects.toMatchObject({ verdict: 'recycle' })
  })

  it('logs in exactly once when the login is lost under 16 operations', async () => {
    const busy = agent.right(16)
    agent.module.loseLogin()
    expect(await busy).toBe(16)
    expect(agent.module.logins).toBe(2)
  })

  it.each(['login', 'sessions'] as const)(
    'takes no key for unknown that it did not see while the %s was lost and the login waited to be allowed',
    async (lost) => {
      let allow: () => void = () => undefined
      const allowed = new Promise<void>((resolve) => (allow = resolve))
      agent.mayLogIn = () => allowed
      if (lost === 'login') agent.module.loseLogin()
      else agent.module.loseSessions()
      const first = agent.right(2)
      // The handle is forgotten by now, and the token shows nothing to search for.
      await new Promise((resolve) => setImmediate(resolve))
      const meanwhile = agent.right(6)
      await new Promise((resolve) => setImmediate(resolve))
      allow()
      expect(await Promise.all([first, meanwhile])).toEqual([2, 6])
      expect(agent.module.logins).toBe(2)
    },
  )

  it('says unknown of a key that is gone when the login is back, if it was lost meanwhile', async () => {
    agent.module.keys.delete(LABEL)
    agent.module.loseLogin()
    await expect(agent.hmac(randomBytes(32))).rejects.toMatchObject({ verdict: 'unknown' })
    expect(agent.module.logins).toBe(2)
  })

  it('opens everything again, with one login, when all sessions are lost under 16 operations', async () => {
    const busy = agent.right(16)
    agent.module.loseSessions()
    expect(await busy).toBe(16)
    expect(agent.module.logins).toBe(2)
    expect(agent.notices.filter(({ what }) => what === 'sessions-reopened')).toHaveLength(1)
    expect(agent.operations.sessions.counts()).toMatchObject({ leased: 0, hung: 0 })
  })

  it('serves with the sessions that open when the token has no more', async () => {
    const small = new Agent(8)
    small.module.maxSessions = 4
    expect(await small.operations.start()).toBe(3)
    expect(small.notices).toContainEqual({ what: 'capacity', sessions: 3 })
    expect(await small.right(20)).toBe(20)
  })

  it('halves its sessions when the token runs out of memory', async () => {
    agent.module.script.push({ fn: 'C_Sign', ckr: CKR.DEVICE_MEMORY })
    expect(await agent.right(1)).toBe(1)
    expect(agent.notices).toContainEqual({ what: 'capacity', sessions: 2 })
    expect(await agent.right(16)).toBe(16)
    expect(agent.operations.sessions.counts().idle).toBe(2)
  })

  it('never uses or closes a session again that came back after the hard time-out', async () => {
    let release: () => void = () => undefined
    agent.module.gate = () => new Promise((resolve) => (release = resolve))
    const hanging = agent.hmac(randomBytes(32))
    agent.module.gate = () => Promise.resolve()
    await Promise.resolve()
    agent.now += 5_000
    expect(agent.operations.sessions.counts()).toMatchObject({ hung: 1, leased: 0 })
    const closed = agent.module.log.filter((fn) => fn === 'C_CloseSession').length
    release()
    await hanging
    expect(agent.operations.sessions.counts()).toEqual({ idle: 3, leased: 0, hung: 1, broken: 0 })
    expect(await agent.right(16)).toBe(16)
    expect(agent.module.log.filter((fn) => fn === 'C_CloseSession')).toHaveLength(closed)
  })

  it('says unknown for a key that is gone, and mismatch for another key under its label', async () => {
    const old = agent.module.keys.get(LABEL) ?? Buffer.alloc(0)
    agent.module.keys.delete(LABEL)
    await expect(agent.hmac(randomBytes(32))).rejects.toMatchObject({ verdict: 'unknown' })
    agent.module.keys.set(LABEL, randomBytes(32))
    await expect(agent.hmac(randomBytes(32))).rejects.toMatchObject({ verdict: 'mismatch' })
    agent.module.keys.set(LABEL, old)
    expect(await agent.right(1)).toBe(1)
  })

  it('answers rightly or not at all, whatever the module returns', async () => {
    const functions = ['C_SignInit', 'C_Sign', 'C_FindObjects', 'C_OpenSession', 'C_GetSessionInfo'] as const
    const fault = fc.record({ fn: fc.constantFrom(...functions), ckr: fc.constantFrom(...Object.values(CKR).slice(1)) })
    const damage = fc.constantFrom('none', 'login', 'sessions')
    await fc.assert(
      fc.asyncProperty(fc.array(fault, { maxLength: 12 }), damage, async (faults, lost) => {
        const under = new Agent()
        await under.operations.start()
        under.module.script.push(...faults)
        const messages = Array.from({ length: 12 }, () => randomBytes(32))
        const running = messages.map((message) => under.hmac(message))
        if (lost === 'login') under.module.loseLogin()
        if (lost === 'sessions') under.module.loseSessions()
        for (const [i, outcome] of (await Promise.allSettled(running)).entries()) {
          if (outcome.status === 'fulfilled')
            expect(outcome.value).toEqual(under.expected(messages[i] ?? Buffer.alloc(0)))
          else expect(outcome.reason).toHaveProperty('verdict')
        }
        const counts = under.operations.sessions.counts()
        expect(counts).toMatchObject({ leased: 0, hung: 0 })
        expect(under.module.open.size).toBeLessThanOrEqual(5)
      }),
      // The example found a caller that joined a failing healing and got its bare error.
      {
        numRuns: 500,
        examples: [
          [
            [
              { fn: 'C_FindObjects', ckr: 0x31 },
              { fn: 'C_OpenSession', ckr: 1 },
            ],
            'sessions',
          ],
        ],
      },
    )
  })
})

/**
 * The rules are proved by failover-core.test.ts, on real tokens by apps/worker/test/hsm-failover.test.ts; here each case on real agents.
 *
 * @module-tag long
 */
import { createHmac, randomBytes } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'

import { Faulty, freshToken, type FreshToken } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { HsmPool } from '../src/pool/hsm-pool.js'
import { keyLabel } from '@sealfleet/format'
import type { PoolOptions, TokenOptions } from '../src/options.js'
import { ENC, kcvOf, KEK, loadUntil, ObservedPool, SIG, tokenOptions } from './helpers.js'
import { plantKey } from './plant-key.js'

/** Throw-away values: the only way to have the same key in two tokens of SoftHSM. */
const VALUES = new Map([ENC, SIG].map((key) => [key, randomBytes(32)]))
const NEVER_BACK = 3_600_000

async function tokenWith(values: ReadonlyMap<typeof ENC, Buffer>): Promise<FreshToken> {
  const token = await freshToken()
  for (const [key, value] of values) await plantKey(token, keyLabel(key), value)
  return token
}

/** What `hmac` must answer under `key`, by another implementation. */
function expectedHmac(key: typeof ENC, message: Buffer): Buffer {
  return createHmac('sha256', VALUES.get(key) ?? '')
    .update(message)
    .digest()
}

function expectedAnswers(count: number): Map<Buffer, Buffer> {
  const messages = Array.from({ length: count }, () => randomBytes(32))
  return new Map(messages.map((message) => [message, expectedHmac(ENC, message)]))
}

class Away implements AsyncDisposable {
  readonly #tokens: string
  #away = false

  constructor(token: FreshToken) {
    this.#tokens = join(token.dir, 'tokens')
  }

  async leave(): Promise<void> {
    await rename(this.#tokens, `${this.#tokens}-away`)
    this.#away = true
  }

  async comeBack(): Promise<void> {
    if (this.#away) await rename(`${this.#tokens}-away`, this.#tokens)
    this.#away = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.comeBack()
  }
}

describe('two SoftHSM tokens that hold the same keys', () => {
  let primary: FreshToken
  let secondary: FreshToken

  beforeAll(async () => {
    primary = await tokenWith(VALUES)
    secondary = await tokenWith(VALUES)
  })

  afterAll(async () => {
    for (const token of [primary, secondary]) await token[Symbol.asyncDispose]()
  })

  async function open(second: TokenOptions, options: Partial<PoolOptions> = {}, first = tokenOptions(primary)) {
    const observed = await ObservedPool.open(first, {
      tokens: [first, second],
      restartIntervalMs: 200,
      probeIntervalMs: 200,
      hardTimeoutMs: 1_500,
      ...options,
    })
    for (const [key, value] of VALUES) observed.pool.expectCheckValue(key, kcvOf(value))
    return observed
  }

  const serving = ({ pool }: ObservedPool) => pool.health().tokens.find((token) => token.serving)?.name
  const failovers = ({ events }: ObservedPool) => events.flatMap((event) => (event.type === 'failover' ? [event] : []))

  it('keeps one agent of the secondary warm, and probes its keys', async () => {
    await using observed = await open(tokenOptions(secondary))
    await observed.allReady(3)
    const { tokens, agents } = await observed.pool.probe()
    expect(agents.map(({ token }) => token).sort()).toEqual(['primary', 'primary', 'secondary-1'])
    expect(tokens.map(({ keys }) => keys.map(({ state }) => state))).toEqual([
      ['ok', 'ok'],
      ['ok', 'ok'],
    ])
    expect(observed.count('login')).toBe(3)
  })

  it('16 callers notice nothing when the primary goes away and comes back: no operation lost, none wrong', async () => {
    await using observed = await open(tokenOptions(secondary))
    await observed.allReady(3)
    await using token = new Away(primary)
    const passing = async () => {
      await token.leave()
      await observed.until(() => serving(observed) === 'secondary-1')
      await token.comeBack()
      await observed.until(() => serving(observed) === 'primary')
    }
    const load = await loadUntil(observed.pool, ENC, expectedAnswers(16), 16, passing())
    expect(load).toMatchObject({ wrong: 0, failures: [] })
    expect(load.ok).toBeGreaterThan(0)
    expect(failovers(observed)).toMatchObject([
      { from: 'primary', token: 'secondary-1' },
      { from: 'secondary-1', token: 'primary', reason: 'returned' },
    ])
    expect(observed.pool.stats().failovers).toHaveProperty('returned', 1)
    // Not before three rounds of probes of the primary, each on a token that answered.
    await expect(observed.pool.hmac(SIG, randomBytes(32))).resolves.toHaveLength(32)
  }, 180_000)

  it('an agent that is killed is no reason to leave the primary', async () => {
    await using observed = await open(tokenOptions(secondary), { agents: 1 })
    await observed.allReady(2)
    const victim = observed.pool.health().agents.find(({ token }) => token === 'primary')
    const restarted = observed.count('ready') + 1
    process.kill(victim?.pid ?? NaN, 'SIGKILL')
    const load = await loadUntil(
      observed.pool,
      ENC,
      expectedAnswers(4),
      4,
      observed.until(() => observed.count('ready') >= restarted),
    )
    expect(load).toMatchObject({ wrong: 0, failures: [] })
    expect(failovers(observed)).toEqual([])
  })

  it('a primary whose every call hangs: what it had is answered by the secondary, in time', async () => {
    await using faulty = await Faulty.over(tokenOptions(primary))
    await using observed = await open(tokenOptions(secondary), { probeIntervalMs: NEVER_BACK }, faulty.token)
    await observed.allReady(3)
    await observed.pool.probe()
    await Promise.all(Array.from({ length: 16 }, () => observed.pool.hmac(ENC, randomBytes(32))))
    await faulty.rules('C_Sign hang')
    const answers = [...expectedAnswers(16)]
    const got = await Promise.all(answers.map(([message]) => observed.pool.hmac(ENC, message)))
    got.forEach((answer, i) => expect(answer).toEqual(answers[i]?.[1]))
    // One hard time-out each: none was given the other agent of a token that hangs.
    expect(observed.events.filter((event) => event.type === 'operation' && event.replays > 0)).toEqual([])
    expect(observed.pool.stats()).toMatchObject({ moves: 16, failures: 0 })
  })

  it('a primary whose agents’ loops hang: what they had is answered by the secondary, and by no one else before', async () => {
    await using faulty = await Faulty.over(tokenOptions(primary))
    await using observed = await open(
      tokenOptions(secondary),
      { probeIntervalMs: NEVER_BACK, hardTimeoutMs: 10_000 },
      faulty.token,
    )
    await observed.allReady(3)
    await observed.pool.probe()
    await faulty.rules('C_SignInit hang')
    const [[message, answer] = [Buffer.of(), Buffer.of()]] = expectedAnswers(1)
    expect(await observed.pool.hmac(ENC, message)).toEqual(answer)
    expect(observed.count('restart', ({ token, reason }) => token === 'primary' && reason === 'silent')).toBe(1)
    expect(observed.pool.stats()).toMatchObject({ moves: 1, replays: 0, failures: 0 })
  })

  it('a secondary refuses the version whose check value differs there, and serves the others', async () => {
    const wrong = await tokenWith(
      new Map([...VALUES].map(([key, value]) => [key, key === SIG ? randomBytes(32) : value])),
    )
    try {
      await using observed = await open(tokenOptions(wrong))
      await observed.allReady(3)
      await observed.pool.probe()
      expect(observed.count('check-value', ({ state, token }) => state === 'mismatch' && token === 'secondary-1')).toBe(
        1,
      )
      await using token = new Away(primary)
      await token.leave()
      const message = randomBytes(32)
      expect(await observed.pool.hmac(ENC, message)).toEqual(expectedHmac(ENC, message))
      await observed.until(() => serving(observed) === 'secondary-1')
      await expect(observed.pool.hmac(SIG, message)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
      expect(await observed.pool.hmac(ENC, message)).toEqual(expectedHmac(ENC, message))
    } finally {
      await wrong[Symbol.asyncDispose]()
    }
  })

  it('a version that was not copied to the secondary, or has nothing to compare with, is KEY_MISMATCH there', async () => {
    const poor = await tokenWith(new Map([[ENC, VALUES.get(ENC) ?? Buffer.alloc(0)]]))
    try {
      await using observed = await open(tokenOptions(poor), { agents: 1 })
      await observed.allReady(2)
      await using token = new Away(primary)
      await token.leave()
      await observed.pool.hmac(ENC, randomBytes(32))
      await observed.until(() => serving(observed) === 'secondary-1')
      await expect(observed.pool.hmac(SIG, randomBytes(32))).rejects.toMatchObject({
        code: 'KEY_MISMATCH',
        message: expect.stringContaining('holds no key') as string,
      })
      await expect(observed.pool.hmac({ ...ENC, version: 9 }, randomBytes(32))).rejects.toMatchObject({
        code: 'KEY_MISMATCH',
        message: expect.stringContaining('no check value is known') as string,
      })
      await expect(observed.pool.wrap(KEK, randomBytes(64), aad())).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
    } finally {
      await poor[Symbol.asyncDispose]()
    }
  })

  it('starts on the secondary when the primary is absent, and goes to the primary when it has come', async () => {
    await using token = new Away(primary)
    await token.leave()
    await using observed = await open(tokenOptions(secondary))
    expect(failovers(observed)).toMatchObject([{ from: 'primary', token: 'secondary-1', reason: 'start' }])
    const message = randomBytes(32)
    expect(await observed.pool.hmac(ENC, message)).toEqual(expectedHmac(ENC, message))
    await token.comeBack()
    await observed.until(() => serving(observed) === 'primary')
    expect(await observed.pool.hmac(ENC, message)).toEqual(expectedHmac(ENC, message))
  })

  it('a PIN that the primary rejects is tried once there, and the secondary serves', async () => {
    const wrongPin = tokenOptions(primary, { pin: { kind: 'value', value: Buffer.from('00000000') } })
    await using observed = await open(tokenOptions(secondary), {}, wrongPin)
    expect(serving(observed)).toBe('secondary-1')
    await observed.until(() => observed.count('restart', ({ token }) => token === 'primary') >= 3)
    const rejected = observed.events.filter((event) => event.type === 'login' && !event.accepted)
    expect(rejected.map(({ token }) => token)).toEqual(['primary'])
    await expect(observed.pool.hmac(ENC, randomBytes(32))).resolves.toHaveLength(32)
  })

  it('says what is wrong with the primary when no token starts', async () => {
    await using token = new Away(primary)
    await token.leave()
    const nobody = tokenOptions(secondary, { token: 'nobody' })
    await expect(HsmPool.open({ tokens: [tokenOptions(primary), nobody] })).rejects.toMatchObject({
      code: 'HSM_UNAVAILABLE',
      message: expect.not.stringContaining('nobody') as string,
    })
  })

  it('computes twice for sealing across tokens too', async () => {
    await using observed = await open(tokenOptions(secondary))
    await observed.allReady(3)
    await using token = new Away(primary)
    const sealing = observed.pool.confirmed()
    await token.leave()
    for (let i = 0; i < 8; i += 1) {
      const message = randomBytes(32)
      expect(await sealing.hmac(ENC, message)).toEqual(expectedHmac(ENC, message))
    }
    expect(observed.count('disagreement')).toBe(0)
  })
})

function aad(): Buffer {
  const bytes = Buffer.alloc(74)
  bytes.write('SFV1/nonces', 'latin1')
  return bytes
}

import { createHash } from 'node:crypto'

import type { HsmEvent } from '../src/events.js'
import type { TokenOptions } from '../src/options.js'
import { TokenPool } from '../src/pool/token-pool.js'
import type { TokenPoolOptions } from '../src/pool/token-pool-options.js'
import { memoryPinLockout } from '../src/pool/pin-lockout.js'
import type { AgentEvents, AgentConnection } from '../src/pool/agent-connection.js'
import { KIND, type Kind } from '../src/wire/frames.js'
import type { Beat, OperationError, TokenIdentity } from '../src/wire/messages.js'

export const IDENTITY: TokenIdentity = {
  label: 'fake',
  serial: '1',
  manufacturer: '',
  model: '',
  firmware: '',
  hardware: '',
  maxSessions: 0,
  module: '',
  moduleVersion: '',
}

export const TOKEN: TokenOptions = { module: 'fake', token: 'fake', pin: { kind: 'value', value: Buffer.from('0') } }

/** What a fake token answers: 32 bytes that depend on the whole payload, as an HMAC would. */
export function fakeHmac(payload: Uint8Array): Buffer {
  return createHash('sha256').update(payload).digest()
}

/** An agent that does what the test says, when it says so. */
export class FakeAgent implements AgentConnection {
  readonly pid = 1
  readonly ended: Promise<void>
  readonly held = new Map<number, Buffer>()
  /** Ids of all requests it ever got. */
  readonly seen: number[] = []
  readonly events: AgentEvents
  alive = true
  loginAllowed = 0
  #resolveEnded: () => void = () => undefined

  constructor(events: AgentEvents) {
    this.events = events
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve))
  }

  send(kind: Kind, id: number, parts: readonly Uint8Array[]): void {
    if (kind === KIND.EXPECT) return
    if (this.held.has(id)) throw new Error(`request ${id} was sent twice`)
    this.held.set(id, Buffer.concat(parts))
    this.seen.push(id)
  }

  allowLogin(): void {
    this.loginAllowed += 1
  }

  close(): void {
    this.die('closed')
  }

  kill(): void {
    this.die('SIGKILL')
  }

  die(how: string): void {
    if (!this.alive) return
    this.alive = false
    this.events.exit(how)
    this.#resolveEnded()
  }

  wantLogin(): void {
    this.events.wantLogin({ token: IDENTITY, pin: 'ok' })
  }

  loggedIn(): void {
    this.events.loggedIn({ accepted: true, rejected: false, text: '' })
  }

  ready(sessions: number): void {
    if (!this.alive) return
    this.events.ready({ pid: 1, token: IDENTITY, mechanisms: { hmac: true, gcm: true }, sessions })
  }

  beat(): void {
    const counts: Beat = { rss: 1, idle: 0, leased: 0, hung: 0, broken: 0, epoch: 0 }
    if (this.alive) this.events.beat(counts)
  }

  /** The n-th of the requests it holds, modulo their number. */
  pick(n: number): number | undefined {
    return [...this.held.keys()][n % Math.max(1, this.held.size)]
  }

  answer(id: number | undefined): void {
    const payload = id === undefined ? undefined : this.held.get(id)
    if (id === undefined || payload === undefined || !this.alive) return
    this.held.delete(id)
    this.events.reply(id, fakeHmac(payload))
  }

  refuse(id: number | undefined, error: OperationError): void {
    if (id === undefined || !this.alive) return
    this.held.delete(id)
    this.events.error(id, error)
  }
}

/** A core with fake agents and a clock that stands still until the test moves it. */
export class FakePool {
  readonly agents: FakeAgent[] = []
  readonly events: HsmEvent[] = []
  readonly core: TokenPool
  now = 0

  constructor(options: Partial<TokenPoolOptions> = {}) {
    this.core = new TokenPool({
      token: TOKEN,
      agents: 2,
      sessions: 4,
      maxWaiters: 8,
      deadlineMs: 15_000,
      softTimeoutMs: 1_000,
      hardTimeoutMs: 5_000,
      startTimeoutMs: 30_000,
      restartIntervalMs: 30_000,
      maxAgentRssBytes: 1 << 30,
      clock: { now: () => this.now },
      lockout: memoryPinLockout(),
      emit: (event) => this.events.push(event),
      start: (events) => {
        const agent = new FakeAgent(events)
        this.agents.push(agent)
        return agent
      },
      ...options,
    })
  }

  get living(): FakeAgent[] {
    return this.agents.filter(({ alive }) => alive)
  }

  /** Both agents ready. */
  async open(sessions = 4): Promise<void> {
    const started = this.core.start()
    for (let i = 0; i < this.agents.length; i += 1) this.agents[i]?.ready(sessions)
    await started
  }

  /** Time passes in steps of 100 ms, with heartbeats of the agents that are not silent. */
  pass(ms: number, silent: readonly FakeAgent[] = []): void {
    for (let passed = 0; passed < ms; passed += 100) {
      this.now += 100
      for (const agent of this.living) if (!silent.includes(agent)) agent.beat()
      this.core.tick()
    }
  }

  hmac(message: Uint8Array, signal?: AbortSignal): Promise<Buffer> {
    return this.core.submit({ name: 'hmac', role: 'enc', label: 'k', parts: [message], signal })
  }
}

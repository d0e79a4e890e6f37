import { KIND, type Kind } from '../src/wire/frames.js'
import type { HsmEvent } from '../src/events.js'
import { memoryPinLockout } from '../src/pool/pin-lockout.js'
import { TokenPool } from '../src/pool/token-pool.js'
import { Prober } from '../src/pool/probe.js'
import { FailoverPool } from '../src/pool/failover-pool.js'
import { FakeAgent, fakeHmac, TOKEN } from './fake-agents.js'

export const LABEL = 'sealfleet/default/enc/s1/1'

/** An agent that starts, beats and answers probes by itself while its token is there; operations wait for the test. */
class FakeTokenAgent extends FakeAgent {
  readonly probes: { readonly id: number; readonly answer: number }[] = []
  /** How often it was told what a key must be. */
  expected = 0

  override send(kind: Kind, id: number, parts: readonly Uint8Array[]): void {
    super.send(kind, id, parts)
    if (kind === KIND.EXPECT) this.expected += 1
    if (kind === KIND.KCV) this.probes.push({ id, answer: 8 })
    if (kind === KIND.PING) this.probes.push({ id, answer: 0 })
  }
}

/** One fake token: its agents, and whether it is there. */
export class FakeToken {
  readonly agents: FakeTokenAgent[] = []
  present = true
  /** What every byte of its check values is. */
  key = 0

  get living(): FakeTokenAgent[] {
    return this.agents.filter(({ alive }) => alive)
  }

  /** Agents that came become ready or fail; probes are answered. Operations are left to the test. */
  settle(started: Set<FakeTokenAgent>): void {
    for (const agent of this.living) {
      if (!started.has(agent)) {
        started.add(agent)
        if (this.present) agent.ready(4)
        else agent.events.failed({ stage: 'token', text: 'no token' })
      }
      if (!this.present) while (agent.held.size > 0) agent.refuse(agent.pick(0), GONE)
      agent.beat()
      for (const { id, answer } of agent.probes.splice(0)) {
        if (!agent.held.has(id)) continue
        agent.held.delete(id)
        agent.events.reply(id, Buffer.alloc(answer, this.key))
      }
    }
  }

  leave(): void {
    this.present = false
    for (const agent of this.living) while (agent.held.size > 0) agent.refuse(agent.pick(0), GONE)
  }
}

const GONE = { verdict: 'recycle', text: 'token not present', ckr: 0xe0, fn: 'C_Sign' } as const

/** FailoverPool that hold the same keys, over fakes and a clock that stands still until the test moves it. */
export class FakeTokens {
  readonly fakes: FakeToken[]
  readonly events: HsmEvent[] = []
  readonly tokens: FailoverPool
  readonly #started = new Set<FakeTokenAgent>()
  now = 0

  constructor(count: number) {
    this.fakes = Array.from({ length: count }, () => new FakeToken())
    const clock = { now: () => this.now }
    const emit = (event: HsmEvent) => this.events.push(event)
    const open = (index: number, onBound: (label: string, kcv: string) => void) => {
      const core = new TokenPool({
        token: TOKEN,
        agents: 2,
        sessions: 4,
        maxWaiters: 16,
        deadlineMs: 15_000,
        softTimeoutMs: 1_000,
        hardTimeoutMs: 5_000,
        startTimeoutMs: 30_000,
        restartIntervalMs: 2_000,
        maxAgentRssBytes: 1 << 30,
        clock,
        lockout: memoryPinLockout(),
        emit,
        onKeyBound: onBound,
        serving: index === 0,
        start: (events) => {
          const agent = new FakeTokenAgent(events)
          this.fakes[index]?.agents.push(agent)
          return agent
        },
      })
      const prober = new Prober(core, { intervalMs: 1_000, now: clock.now, emit })
      return { name: `token-${index}`, core, prober }
    }
    this.tokens = new FailoverPool(count, open, { clock, deadlineMs: 15_000, emit })
  }

  async open(): Promise<void> {
    const started = this.tokens.start()
    for (let i = 0; i < 3; i += 1) this.settle()
    await started
    this.expectKey()
  }

  /** As every attempt does with the keys it is about to use. */
  expectKey(): void {
    this.tokens.expectKey({ label: LABEL, kcv: '0000000000000000' })
    for (const { prober } of this.tokens.list) prober.add(LABEL, Buffer.alloc(8))
  }

  settle(fakes: readonly FakeToken[] = this.fakes): void {
    for (const fake of fakes) fake.settle(this.#started)
  }

  /** Time passes in steps of 100 ms; promises of probes and moves get their turn in each. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      this.now += 100
      this.tokens.tick()
      this.settle()
      await turns()
    }
  }

  hmac(message: Uint8Array, signal?: AbortSignal, label = LABEL): Promise<Buffer> {
    return this.tokens.submit({ name: 'hmac', role: 'enc', label, parts: [message], signal })
  }

  /** Answers whatever operations a token's agents hold. */
  answer(index: number): void {
    for (const agent of this.fakes[index]?.living ?? []) while (agent.held.size > 0) agent.answer(agent.pick(0))
  }

  get failovers() {
    return this.events.flatMap((event) => (event.type === 'failover' ? [event] : []))
  }
}

/** Long enough for chains of promises that wait for nothing else. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve()
}

export { fakeHmac }

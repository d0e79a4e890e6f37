import type { RestartReason } from '../events.js'
import { HsmBusy, HsmError } from '../errors/hsm-error.js'
import type { Expect, OperationError } from '../wire/messages.js'
import { TokenBreaker } from './breaker.js'
import { rememberExpectedKey } from './expected-keys.js'
import { agentBlind, agentDied, breakerOpen, operationFailure, poolClosed, timedOut } from './failures.js'
import { RequestFactory, type Submission } from './request-factory.js'
import type { TokenPoolOptions } from './token-pool-options.js'
import { AgentHandle, freest, type AgentListener, type PoolRequest } from './agent-handle.js'
import type { AgentEvents, Clock } from './agent-connection.js'
import { RestartBudget } from './restarts.js'
import type { Outage } from './failover-policy.js'
import { UnknownKeys } from './unknown-keys.js'
import { Waiters } from './waiters.js'

interface Slot {
  readonly index: number
  readonly budget: RestartBudget
  agent: AgentHandle | undefined
  /** Why the last start failed; undefined after a successful one. */
  failure: HsmError | undefined
  restartWanted: boolean
}

const STALL_MS = 1_000
/** An agent that is being replaced is back within this time; a token without agents for longer is out. */
const AWAY_MS = 2_000
const REPLAYS = 1

/**
 * The pool as a plain state machine: it owns no timer, no process and no clock. Its owner calls {@link tick} a few
 * times a second; agents report through their connections.
 */
export class TokenPool implements AgentListener {
  readonly #options: TokenPoolOptions
  readonly #clock: Clock
  readonly #slots: Slot[]
  readonly #waiters = new Waiters()
  readonly #expected = new Map<string, Expect>()
  readonly #unknown: UnknownKeys
  readonly breaker: TokenBreaker
  /** Killed processes that have not ended yet. */
  readonly #ending = new Set<Promise<void>>()
  readonly #requests: RequestFactory
  #closed = false
  #serving: boolean
  #readyAt: number
  #tickedAt: number
  #started: { resolve: () => void; reject: (error: HsmError) => void } | undefined
  #lastFailure: HsmError | undefined

  constructor(options: TokenPoolOptions) {
    this.#options = options
    this.#clock = options.clock
    const now = () => options.clock.now()
    this.#tickedAt = now()
    this.#readyAt = -Infinity
    this.#serving = options.serving ?? true
    this.#requests = new RequestFactory(options)
    this.breaker = new TokenBreaker(now, (state) => {
      options.emit({ type: 'breaker', state })
    })
    this.#unknown = new UnknownKeys(options, (agent) => {
      this.#teach(agent)
    })
    this.#slots = Array.from({ length: options.agents }, (_, index) => {
      const budget = new RestartBudget(options.restartIntervalMs, now)
      return { index, budget, agent: undefined, failure: undefined, restartWanted: false }
    })
  }

  /** Starts the agents. Resolves when the first is ready; rejects with the failure that keeps them from starting. */
  async start(): Promise<void> {
    const [first] = this.#slots
    if (first === undefined) throw new RangeError('a pool needs an agent')
    const started = new Promise<void>((resolve, reject) => (this.#started = { resolve, reject }))
    this.#startSlot(first)
    return started
  }

  get lives(): readonly AgentHandle[] {
    return this.#slots.flatMap(({ agent: agent }) => (agent === undefined ? [] : [agent]))
  }

  get waiting(): number {
    return this.#waiters.length
  }

  get lastFailure(): HsmError | undefined {
    return this.#lastFailure
  }

  /** Why this token cannot serve; undefined while it can. */
  get outage(): Outage | undefined {
    if (this.#hopeless() !== undefined) return 'denied'
    if (this.breaker.state !== 'closed') return 'breaker'
    if (this.lives.some(({ state }) => state === 'ready')) return undefined
    const failed = this.#slots.some(({ failure }) => failure !== undefined)
    return failed || this.#clock.now() - this.#readyAt >= AWAY_MS ? 'agents' : undefined
  }

  /** Serving: runs all agents. Standing by: runs one agent, which takes the operations of a failing token. */
  serve(serving: boolean): void {
    this.#serving = serving
    for (const slot of this.#slots.slice(this.#wanted)) {
      slot.restartWanted = false
      if (slot.agent?.state === 'ready') slot.agent.retire('surplus')
      else if (slot.agent?.state === 'starting') slot.agent.end('surplus')
    }
    if (this.lives.some(({ state }) => state === 'ready')) this.#startOthers()
  }

  /** Fails the waiting operations, so that another token takes them. */
  failWaiters(): void {
    const failure = this.#lastFailure ?? agentDied('this token does not serve now')
    for (const request of this.#waiters.takeAll()) this.#fail(request, failure)
  }

  expectKey(expected: Expect): void {
    // Every operation states its expected keys again: agents receive only news.
    if (!rememberExpectedKey(this.#expected, expected)) return
    for (const agent of this.lives) if (agent.state === 'ready') agent.expect(expected)
  }

  /** Settles with the answer (dedicated bytes that the caller wipes), an HsmError, or the signal's reason. */
  async submit(submission: Submission): Promise<Buffer> {
    const { signal, targetAgent: only, excludeAgent: notOn, failedOver: moved } = submission
    signal?.throwIfAborted()
    if (this.#closed) throw poolClosed()
    // A probe of an agent that is gone would wait forever.
    if (only !== undefined && only.state !== 'ready') throw agentDied('it is being replaced')
    if (only === undefined && this.breaker.state !== 'closed') throw breakerOpen(this.#lastFailure)
    const agent = only ?? this.#choose(notOn) ?? this.#choose(undefined)
    if (agent === undefined) {
      const hopeless = this.#hopeless()
      if (hopeless !== undefined) throw hopeless
      if (this.#waiters.length >= this.#options.maxWaiters && moved !== true) throw new HsmBusy(this.#waiters.length)
    }
    return new Promise<Buffer>((resolve, reject) => {
      const request = this.#requests.open(submission, resolve, reject)
      if (signal !== undefined) this.#requests.listen(request, signal, () => this.#waiters.remove(request))
      if (agent === undefined) this.#waiters.push(request)
      else agent.run(request)
    })
  }

  /** Checks clocks and budgets. Call it a few times a second. */
  tick(): void {
    const now = this.#clock.now()
    const stalled = now - this.#tickedAt > STALL_MS
    this.#tickedAt = now
    if (this.lives.some(({ state }) => state === 'ready')) this.#readyAt = now
    for (const slot of this.#slots) {
      slot.agent?.check(stalled)
      if (slot.restartWanted && !this.#closed && slot.budget.take()) this.#startSlot(slot)
    }
    this.#unknown.check(stalled)
    this.#retireLarge()
    for (const agent of this.lives) for (const request of agent.requests()) this.#checkDeadline(request, now)
    for (const request of this.#waiters.all()) this.#checkDeadline(request, now)
    this.#dispatch()
  }

  /** Takes no more operations; waiting ones fail, running ones continue. */
  stop(): void {
    this.#closed = true
    this.#unknown.stop()
    for (const request of this.#waiters.takeAll()) this.#fail(request, poolClosed())
  }

  /** Ends the agents. Resolves when their processes are gone; operations that were still running fail. */
  async end(): Promise<void> {
    this.stop()
    const { lives } = this
    for (const request of lives.flatMap((agent) => agent.requests())) this.#fail(request, poolClosed())
    await Promise.all([...lives.map((agent) => agent.close()), ...this.#ending, this.#unknown.ended()])
  }

  get busy(): number {
    return this.lives.reduce((sum, agent) => sum + agent.busy, 0)
  }

  /** Replaces agents whose answers are not trusted; their remaining operations go to other agents. */
  replaceAgents(lives: readonly AgentHandle[], failure: HsmError): void {
    this.#lastFailure = failure
    this.breaker.failure()
    for (const agent of lives) agent.end('error', failure)
  }

  // AgentListener

  ready(agent: AgentHandle): void {
    const slot = this.#slots[agent.index]
    if (slot?.agent !== agent) return
    slot.failure = undefined
    this.#readyAt = this.#clock.now()
    this.#teach(agent)
    this.#started?.resolve()
    this.#started = undefined
    this.#startOthers()
    this.#dispatch()
  }

  progressed(_agent: AgentHandle): void {
    this.#dispatch()
  }

  answered(agent: AgentHandle, request: PoolRequest, bytes: Buffer): void {
    request.answeredBy?.(agent)
    if (request.targetAgent === undefined) this.breaker.success()
    this.#requests.settle(request, 'ok', () => {
      request.resolve(bytes)
    })
  }

  refused(agent: AgentHandle, request: PoolRequest, error: OperationError): void {
    const failure = operationFailure(request.label, error)
    if (error.verdict === 'unknown') {
      void this.#confirmUnknown(agent, request, failure)
      return
    }
    if (error.verdict === 'recycle' || error.verdict === 'login') {
      this.#lastFailure = failure
      if (error.verdict === 'login') this.#fail(request, failure)
      else this.#replay(agent, request, failure)
      agent.retire('error', failure)
      return
    }
    if (error.verdict === 'data') request.answeredBy?.(agent)
    this.#fail(request, failure)
  }

  late(agent: AgentHandle, request: PoolRequest): void {
    if (!request.settled) this.#move(agent, request, timedOut('the operation', this.#options.hardTimeoutMs))
  }

  bound(agent: AgentHandle, label: string, kcv: string | null): void {
    // All agents must see the value that one agent saw first.
    if (kcv === null || this.#expected.get(label)?.kcv !== undefined) return
    this.#expected.set(label, { ...this.#expected.get(label), label, kcv })
    for (const other of this.lives) if (other !== agent && other.state === 'ready') other.expect({ label, kcv })
    this.#options.onKeyBound?.(label, kcv)
  }

  gone(agent: AgentHandle, reason: RestartReason, failure: HsmError | undefined, lost: readonly PoolRequest[]): void {
    const slot = this.#slots[agent.index]
    if (slot?.agent !== agent) return
    slot.agent = undefined
    this.#ending.add(agent.ended)
    void agent.ended.finally(() => this.#ending.delete(agent.ended))
    this.#options.emit({ type: 'restart', agent: agent.index, reason })
    if (reason === 'failed-start') {
      slot.failure = failure
      this.#lastFailure = failure
      this.breaker.failure()
    }
    const hung = reason === 'hung' || reason === 'silent'
    for (const request of lost) {
      if (hung) this.#move(agent, request, failure ?? agentDied(reason))
      else this.#replay(agent, request, failure ?? agentDied(reason))
    }
    if (this.#started !== undefined && failure !== undefined) this.#started.reject(failure)
    this.#started = undefined
    slot.restartWanted = !this.#closed && agent.index < this.#wanted
    const atOnce = reason === 'memory' || (reason !== 'failed-start' && slot.budget.take())
    if (slot.restartWanted && atOnce) this.#startSlot(slot)
    this.#failHopeless()
  }

  /** The target number of agents. */
  get #wanted(): number {
    return this.#serving ? this.#slots.length : 1
  }

  #startOthers(): void {
    for (const slot of this.#slots.slice(0, this.#wanted)) {
      if (slot.agent === undefined && !slot.restartWanted) this.#startSlot(slot)
    }
  }

  #startSlot(slot: Slot): void {
    slot.restartWanted = false
    const { start, sessions } = this.#options
    try {
      const options = { ...this.#options, index: slot.index, start: (events: AgentEvents) => start(events, sessions) }
      slot.agent = new AgentHandle(options, this)
    } catch (error) {
      if (!(error instanceof HsmError)) throw error
      slot.failure = error
      this.#lastFailure = error
      slot.restartWanted = true
      this.#started?.reject(error)
      this.#started = undefined
      this.#failHopeless()
    }
  }

  #teach(agent: AgentHandle): void {
    for (const expected of this.#expected.values()) agent.expect(expected)
  }

  #choose(avoid: object | undefined): AgentHandle | undefined {
    // A pool of one agent has no other; and a session that hangs says little about the others.
    return freest(this.#slots, this.#wanted > 1 ? avoid : undefined)
  }

  #dispatch(): void {
    this.#waiters.dispatch((avoid) => this.#choose(avoid))
  }

  /** A token that hangs gets no second try where another token has the key: a second hang would use up the deadline. */
  #move(agent: AgentHandle, request: PoolRequest, failure: HsmError): void {
    if (request.otherTokenHasKey?.() === true) this.#fail(request, failure)
    else this.#replay(agent, request, failure)
  }

  /** Runs on another agent or on the restarted one; ahead of the operations that have not run yet. */
  #replay(agent: AgentHandle, request: PoolRequest, failure: HsmError): void {
    if (request.replays >= REPLAYS || request.targetAgent !== undefined || this.#closed || !this.#serving) {
      this.#fail(request, failure)
      return
    }
    request.replays += 1
    request.avoid = agent
    const next = this.#choose(agent)
    if (next !== undefined) next.run(request)
    else this.#waiters.unshift(request)
  }

  /** A missing key may be a missing token: only a fresh process can tell. */
  async #confirmUnknown(agent: AgentHandle, request: PoolRequest, failure: HsmError): Promise<void> {
    if (agent.readyAt > request.submittedAt || request.targetAgent !== undefined) {
      this.#fail(request, failure)
      return
    }
    const finding = await this.#unknown.confirm(request.label)
    if (request.settled) return
    if (finding === 'unknown') {
      this.#fail(request, failure)
      return
    }
    // A key that was found is never "unknown" to a caller, even if this token's agents keep missing it.
    this.#lastFailure = finding === 'found' ? undefined : finding
    agent.retire('stale', this.#lastFailure)
    this.#replay(agent, request, finding === 'found' ? agentBlind(request.label) : finding)
  }

  #checkDeadline(request: PoolRequest, now: number): void {
    if (request.settled || now < request.deadlineAt) return
    const waited = this.#waiters.remove(request)
    const { deadlineMs } = this.#options
    const noAgent = !this.lives.some((agent) => agent.state === 'ready')
    if (waited && !noAgent && request.replays === 0) this.#fail(request, new HsmBusy(this.#waiters.length + 1))
    else this.#fail(request, (noAgent ? this.#lastFailure : undefined) ?? timedOut('the operation', deadlineMs))
  }

  #fail(request: PoolRequest, error: HsmError): void {
    if (request.settled) return
    if (error.code === 'HSM_UNAVAILABLE' || error.code === 'HSM_SESSION_LOST') {
      this.#lastFailure = error
      if (request.targetAgent === undefined) this.breaker.failure()
    }
    this.#requests.settle(request, request.canFailOver?.(error) === true ? 'moved' : error.code, () => {
      request.reject(error)
    })
  }

  #retireLarge(): void {
    const ready = this.lives.filter((agent) => agent.state === 'ready')
    if (ready.length < this.#wanted) return
    const large = ready.find((agent) => (agent.beat?.rss ?? 0) > this.#options.maxAgentRssBytes)
    large?.retire('memory')
  }

  /** A failure that waiting cannot cure: all agents are down because of the configuration. */
  #hopeless(): HsmError | undefined {
    if (this.#slots.some(({ agent: agent }) => agent !== undefined)) return undefined
    return this.#slots.find(({ failure }) => failure?.code === 'HSM_ACCESS_DENIED')?.failure
  }

  #failHopeless(): void {
    const failure = this.#hopeless()
    if (failure === undefined) return
    for (const request of this.#waiters.takeAll()) this.#fail(request, failure)
  }
}

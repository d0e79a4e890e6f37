import { dedicatedCopy, secretCopy, wipe } from '@sealfleet/format'

import type { HsmEvent, RestartReason } from '../events.js'
import type { Role } from '../contract.js'
import { HsmError } from '../errors/hsm-error.js'
import type { TokenOptions } from '../options.js'
import { KIND } from '../wire/frames.js'
import { OPERATION_FRAMES, type OperationName } from '../wire/operations.js'
import type { Beat, Expect, Failed, LoggedIn, Notice, OperationError, Ready, WantLogin } from '../wire/messages.js'
import { agentDied, pinFinalTry, pinLockedOut, pinLocked, startFailure, timedOut } from './failures.js'
import type { LoginOutcome, PinLockout } from './pin-lockout.js'
import type { AgentEvents, AgentConnection, Clock } from './agent-connection.js'

/** starting → ready → (retiring: finishes what it has) → gone */
export type AgentState = 'starting' | 'ready' | 'retiring' | 'gone'

/** One operation of a caller, from submission until its promise has settled and its agent has released it. */
export interface PoolRequest {
  readonly id: number
  readonly name: OperationName
  readonly role: Role
  readonly label: string
  /** The frame's payload: a copy, wiped when the request settles. */
  readonly payload: Buffer
  readonly submittedAt: number
  readonly deadlineAt: number
  startedAt: number
  slowReported: boolean
  replays: number
  /** The agent process that must not receive the request again. */
  avoid: object | undefined
  /** Only this agent process may receive the request (probes). */
  readonly targetAgent: object | undefined
  /** Called with the agent that answered; an agent's refusal to open a record is an answer. */
  readonly answeredBy: ((agent: AgentHandle) => void) | undefined
  readonly canFailOver?: ((error: HsmError) => boolean) | undefined
  readonly otherTokenHasKey?: (() => boolean) | undefined
  /** Set once: the caller's promise has settled. */
  settled: boolean
  readonly resolve: (bytes: Buffer) => void
  readonly reject: (error: unknown) => void
  /** Removes the listener from the caller's signal. */
  release: () => void
}

export interface AgentHandleOptions {
  readonly index: number
  readonly token: TokenOptions
  readonly sessions: number
  readonly clock: Clock
  readonly lockout: PinLockout
  readonly startTimeoutMs: number
  readonly hardTimeoutMs: number
  readonly softTimeoutMs: number
  readonly start: (events: AgentEvents) => AgentConnection
  readonly emit: (event: HsmEvent) => void
}

export interface AgentListener {
  ready(agent: AgentHandle): void
  /** Capacity may have become free. */
  progressed(agent: AgentHandle): void
  answered(agent: AgentHandle, request: PoolRequest, bytes: Buffer): void
  refused(agent: AgentHandle, request: PoolRequest, error: OperationError): void
  late(agent: AgentHandle, request: PoolRequest): void
  bound(agent: AgentHandle, label: string, kcv: string | null): void
  /** The last call. `lost` holds the requests the agent still had, without those that had settled. */
  gone(agent: AgentHandle, reason: RestartReason, failure: HsmError | undefined, lost: readonly PoolRequest[]): void
}

const BEAT_LATE_MS = 3_500

/** One agent process from start to end, and the operations it has. */
export class AgentHandle {
  readonly index: number
  readonly startedAt: number
  state: AgentState = 'starting'
  readyAt = Infinity
  sessions: number
  hung = 0
  token: Ready['token'] | undefined
  beat: Beat | undefined
  readonly #options: AgentHandleOptions
  readonly #host: AgentListener
  readonly #connection: AgentConnection
  readonly #inFlight = new Map<number, PoolRequest>()
  readonly #timedOut = new Set<number>()
  #deadline: number
  #beatAt = 0
  #loginDone: ((outcome: LoginOutcome) => void) | undefined

  /** Throws HsmError when the agent cannot be started (its PIN file is missing). */
  constructor(options: AgentHandleOptions, host: AgentListener) {
    this.#options = options
    this.#host = host
    this.index = options.index
    this.sessions = options.sessions
    this.startedAt = options.clock.now()
    this.#deadline = this.startedAt + options.startTimeoutMs
    this.#connection = options.start(this.#events())
  }

  get pid(): number | undefined {
    return this.#connection.pid
  }

  /** Resolves when its process is gone. */
  get ended(): Promise<void> {
    return this.#connection.ended
  }

  /** Operations that the agent has not answered. */
  requests(): PoolRequest[] {
    return [...this.#inFlight.values()]
  }

  /** Operations in progress. Those past the hard time-out are not counted, nor are their sessions. */
  get busy(): number {
    return this.#inFlight.size - this.#timedOut.size
  }

  get free(): number {
    return this.state === 'ready' ? this.sessions - this.hung - this.busy : 0
  }

  run(request: PoolRequest): void {
    request.startedAt = this.#options.clock.now()
    this.#inFlight.set(request.id, request)
    this.#connection.send(OPERATION_FRAMES[request.name].kind, request.id, [request.payload])
  }

  expect(expected: Expect): void {
    if (this.state === 'gone') return
    this.#connection.send(KIND.EXPECT, 0, [Buffer.from(JSON.stringify(expected), 'utf8')])
  }

  /** Takes no more operations; ends when none is left. */
  retire(reason: RestartReason, failure?: HsmError): void {
    if (this.state !== 'ready') return
    this.state = 'retiring'
    this.#retired = { reason, failure }
    this.#endIfQuiet()
  }
  #retired: { reason: RestartReason; failure: HsmError | undefined } | undefined

  /**
   * Ends the agent for good, politely if it is quiet. Resolves when the process is gone; the caller gets its
   * operations.
   */
  async close(): Promise<void> {
    const quiet = this.state !== 'starting' && this.#inFlight.size === 0 && this.hung === 0
    if (this.state !== 'gone') {
      this.state = 'gone'
      this.#finishLogin('failed')
      if (quiet) this.#connection.close()
      else this.#connection.kill()
    }
    await this.#connection.ended
  }

  /** Kills the process and gives its operations back. */
  end(reason: RestartReason, failure?: HsmError): void {
    if (this.state === 'gone') return
    this.state = 'gone'
    this.#finishLogin('failed')
    this.#connection.kill()
    // A request past the hard time-out went to another agent at that time.
    const lost = this.requests().filter((request) => !request.settled && !this.#timedOut.has(request.id))
    this.#inFlight.clear()
    this.#timedOut.clear()
    this.#host.gone(this, reason, failure, lost)
  }

  /**
   * Looks at the clock. `stalled`: our own loop was blocked, so an answer that seems late may only be unread.
   */
  check(stalled: boolean): void {
    const now = this.#options.clock.now()
    if (stalled) {
      this.#beatAt = now
      return
    }
    if (this.state === 'starting' && now >= this.#deadline) {
      this.end('failed-start', timedOut('starting an HSM agent', this.#options.startTimeoutMs))
      return
    }
    if (this.state !== 'ready' && this.state !== 'retiring') return
    if (now - this.#beatAt >= BEAT_LATE_MS) {
      this.end('silent', agentDied('it stopped answering'))
      return
    }
    for (const request of this.#inFlight.values()) this.#checkRequest(request, now)
    if (this.hung >= Math.max(1, Math.floor(this.sessions / 4))) {
      this.end('hung', timedOut('an operation', this.#options.hardTimeoutMs))
    }
  }

  #checkRequest(request: PoolRequest, now: number): void {
    const ran = now - request.startedAt
    const { index, softTimeoutMs, hardTimeoutMs, emit } = this.#options
    if (ran >= softTimeoutMs && !request.slowReported) {
      request.slowReported = true
      emit({ type: 'slow', agent: index, role: request.role })
    }
    if (ran < hardTimeoutMs || this.#timedOut.has(request.id)) return
    this.#timedOut.add(request.id)
    this.hung += 1
    emit({ type: 'hung', agent: index, role: request.role })
    this.#host.late(this, request)
  }

  #events(): AgentEvents {
    const live = <T extends unknown[]>(handle: (...args: T) => void) => {
      return (...args: T) => {
        if (this.state !== 'gone') handle(...args)
      }
    }
    return {
      wantLogin: live((want) => {
        void this.#guardLogin(want)
      }),
      loggedIn: live((outcome) => {
        this.#loggedIn(outcome)
      }),
      ready: live((ready) => {
        this.#ready(ready)
      }),
      failed: live((failed) => {
        this.#startFailed(failed)
      }),
      reply: live((id, payload) => {
        this.#reply(id, payload)
      }),
      error: live((id, error) => {
        this.#error(id, error)
      }),
      beat: live((beat) => {
        this.#beatAt = this.#options.clock.now()
        this.beat = beat
        this.#host.progressed(this)
      }),
      notice: live((notice) => {
        this.#notice(notice)
      }),
      exit: live((how) => {
        this.end(this.state === 'starting' ? 'failed-start' : 'died', agentDied(how))
      }),
    }
  }

  async #guardLogin(want: WantLogin): Promise<void> {
    const { token, lockout } = this.#options
    if (want.pin === 'locked') return this.end('failed-start', pinLocked())
    if (want.pin === 'final-try') return this.end('failed-start', pinFinalTry())
    const pinId = token.pinId ?? 'default'
    const { serial } = want.token
    this.#deadline = Infinity
    try {
      const outcome = await lockout.guard({ serial, token: token.token, pinId }, () => this.#login())
      if (outcome === 'rejected') this.#options.emit({ type: 'locked-out', serial, pinId })
      if (outcome === 'locked-out') this.end('failed-start', pinLockedOut(token))
    } catch (cause) {
      const fix = 'Bring back the database that holds the PIN lockouts: no one logs in without it.'
      this.end(
        'failed-start',
        new HsmError('HSM_UNAVAILABLE', 'the record of PIN lockouts is out of reach', { cause, fix }),
      )
    }
  }

  async #login(): Promise<LoginOutcome> {
    if (this.state === 'gone') return 'failed'
    const done = new Promise<LoginOutcome>((resolve) => (this.#loginDone = resolve))
    this.#deadline = this.#options.clock.now() + this.#options.startTimeoutMs
    this.#connection.allowLogin()
    return done
  }

  #loggedIn({ accepted, rejected, ckr }: LoggedIn): void {
    // Without a return value the token was not asked: no PIN was tried.
    if (accepted || ckr !== undefined) this.#options.emit({ type: 'login', agent: this.index, accepted })
    this.#finishLogin(accepted ? 'accepted' : rejected ? 'rejected' : 'failed')
  }

  #finishLogin(outcome: LoginOutcome): void {
    this.#loginDone?.(outcome)
    this.#loginDone = undefined
  }

  #ready(ready: Ready): void {
    const now = this.#options.clock.now()
    this.state = 'ready'
    this.readyAt = now
    this.#beatAt = now
    this.sessions = ready.sessions
    this.token = ready.token
    const agent = this.index
    const { sessions, emit } = this.#options
    emit({ type: 'ready', agent, sessions: ready.sessions, startMs: now - this.startedAt })
    // By the standard, the token's number is the limit for one application, here one agent; the login session counts.
    const [wanted, limit] = [sessions + 1, ready.token.maxSessions]
    if (limit > 0 && wanted > limit) emit({ type: 'over-limit', agent, wanted, limit })
    this.#host.ready(this)
  }

  #startFailed(failed: Failed): void {
    this.end('failed-start', startFailure(failed, this.#options.token))
  }

  /** `given`: the request passed the hard time-out, and another agent has it too. */
  #take(id: number): { request: PoolRequest | undefined; given: boolean } {
    const request = this.#inFlight.get(id)
    this.#inFlight.delete(id)
    return { request, given: this.#timedOut.delete(id) }
  }

  #reply(id: number, payload: Buffer): void {
    const { request } = this.#take(id)
    if (request === undefined || request.settled) {
      wipe(payload)
      this.#let()
      return
    }
    if (payload.length !== OPERATION_FRAMES[request.name].answer) {
      this.#host.refused(this, request, { verdict: 'recycle', text: 'an answer of the wrong length' })
    } else {
      this.#host.answered(this, request, answerOf(request, payload))
    }
    this.#let()
  }

  #error(id: number, error: OperationError): void {
    const { request, given } = this.#take(id)
    if (request !== undefined && !given && !request.settled) this.#host.refused(this, request, error)
    this.#let()
  }

  /** A session became free. */
  #let(): void {
    this.#endIfQuiet()
    this.#host.progressed(this)
  }

  #endIfQuiet(): void {
    if (this.state === 'retiring' && this.busy === 0) {
      this.end(this.#retired?.reason ?? 'error', this.#retired?.failure)
    }
  }

  #notice(notice: Notice): void {
    const agent = this.index
    switch (notice.what) {
      case 'error':
        this.#options.emit({ type: 'error', ckr: notice.ckr, fn: notice.fn, class: notice.class })
        return
      case 'capacity':
        this.sessions = notice.sessions
        this.#options.emit({ type: 'capacity', agent, sessions: notice.sessions, wanted: this.#options.sessions })
        return
      case 'session-replaced':
      case 'sessions-reopened':
        this.#options.emit({ type: notice.what, agent })
        return
      case 'bound':
        this.#host.bound(this, notice.label, notice.kcv)
    }
  }
}

/** The answer, which the caller wipes: in the arena if it is secret. A MAC under the audit key is not secret. */
function answerOf({ name, role }: PoolRequest, payload: Buffer): Buffer {
  const isSecret = name === 'unwrap' || ((name === 'hmac' || name === 'sealing') && role !== 'audit')
  return isSecret ? secretCopy(payload) : dedicatedCopy(payload)
}

/** The agent with the most free sessions, except `avoid`; undefined when none has a free one. */
export function freest(
  slots: readonly { readonly agent: AgentHandle | undefined }[],
  avoid: object | undefined,
): AgentHandle | undefined {
  let best: AgentHandle | undefined
  for (const { agent: agent } of slots) {
    if (agent === undefined || agent === avoid || agent.free <= 0) continue
    if (best === undefined || agent.free > best.free) best = agent
  }
  return best
}

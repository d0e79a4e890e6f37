import { HsmError } from '../errors/hsm-error.js'
import type { TokenOptions } from '../options.js'
import { startAgent } from '../pool/agent-process.js'
import {
  agentDied,
  operationFailure,
  pinFinalTry,
  pinLockedOut,
  pinLocked,
  startFailure,
  timedOut,
} from '../pool/failures.js'
import { memoryPinLockout, type LoginOutcome, type PinLockout } from '../pool/pin-lockout.js'
import type { AgentConnection } from '../pool/agent-connection.js'
import type { AdminRequest } from '../wire/admin-messages.js'
import { KIND } from '../wire/frames.js'
import type { WantLogin } from '../wire/messages.js'

interface Pending {
  readonly label: string
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: HsmError) => void
  readonly timer: NodeJS.Timeout
}

const START_MS = 30_000
/** Generating a key in a slow HSM, with its evidence, takes seconds. */
const ASK_MS = 60_000

/** An agent in admin mode. Any failure ends it; no request is ever sent twice. */
export class AdminConnection {
  readonly #token: TokenOptions
  readonly #lockout: PinLockout
  readonly #connection: AgentConnection
  readonly #pending = new Map<number, Pending>()
  readonly #ready: Promise<void>
  #resolveReady: () => void = () => undefined
  #rejectReady: (error: HsmError) => void = () => undefined
  #loginDone: ((outcome: LoginOutcome) => void) | undefined
  #startTimer: NodeJS.Timeout | undefined
  #nextId = 1
  #ended: HsmError | undefined
  #closed = false

  private constructor(token: TokenOptions, lockout: PinLockout) {
    this.#token = token
    this.#lockout = lockout
    this.#ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    const config = { mode: 'admin', sessions: 1, hardTimeoutMs: ASK_MS, beatMs: 1_000 } as const
    this.#connection = startAgent(token, config, {
      wantLogin: (want) => {
        void this.#guardLogin(want)
      },
      loggedIn: ({ accepted, rejected }) => {
        this.#finishLogin(accepted ? 'accepted' : rejected ? 'rejected' : 'failed')
      },
      ready: () => {
        clearTimeout(this.#startTimer)
        this.#resolveReady()
      },
      failed: (failed) => {
        this.#kill(startFailure(failed, token))
      },
      reply: (id, payload) => {
        this.#take(id)?.resolve(JSON.parse(payload.toString('utf8')))
      },
      error: (id, error) => {
        const pending = this.#take(id)
        pending?.reject(operationFailure(pending.label, error))
      },
      beat: () => undefined,
      notice: () => undefined,
      exit: (how) => {
        this.#fail(agentDied(how))
      },
    })
    this.#armStart()
  }

  /** Resolves when the agent is logged in; rejects with HsmError. */
  static async open(token: TokenOptions, lockout: PinLockout = memoryPinLockout()): Promise<AdminConnection> {
    const link = new AdminConnection(token, lockout)
    await link.#ready
    return link
  }

  /**
   * Rejects with HsmError. After a time-out the request may or may not have taken effect: look before you repeat it.
   */
  async ask<T>(label: string, request: AdminRequest): Promise<T> {
    if (this.#ended !== undefined) throw this.#ended
    const id = this.#nextId++
    const answer = await new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#kill(timedOut(`the request "${request.op}"`, ASK_MS))
      }, ASK_MS)
      this.#pending.set(id, { label, resolve, reject, timer })
      this.#connection.send(KIND.ADMIN, id, [Buffer.from(JSON.stringify(request), 'utf8')])
    })
    return answer as T
  }

  /** Ends the process; resolves when it is gone. */
  async close(): Promise<void> {
    if (!this.#closed && this.#ended === undefined) this.#connection.close()
    this.#closed = true
    await this.#connection.ended
  }

  async #guardLogin({ pin, token: { serial } }: WantLogin): Promise<void> {
    if (pin === 'locked') return this.#kill(pinLocked())
    if (pin === 'final-try') return this.#kill(pinFinalTry())
    // Waiting for a turn does not count as the token's slowness.
    clearTimeout(this.#startTimer)
    const id = { serial, token: this.#token.token, pinId: this.#token.pinId ?? 'default' }
    try {
      const outcome = await this.#lockout.guard(id, () => this.#login())
      if (outcome === 'locked-out') this.#kill(pinLockedOut(this.#token))
    } catch (cause) {
      const fix = 'Bring back the database that holds the PIN lockouts: no one logs in without it.'
      this.#kill(new HsmError('HSM_UNAVAILABLE', 'the record of PIN lockouts is out of reach', { cause, fix }))
    }
  }

  async #login(): Promise<LoginOutcome> {
    if (this.#ended !== undefined) return 'failed'
    const done = new Promise<LoginOutcome>((resolve) => (this.#loginDone = resolve))
    this.#armStart()
    this.#connection.allowLogin()
    return done
  }

  #finishLogin(outcome: LoginOutcome): void {
    this.#loginDone?.(outcome)
    this.#loginDone = undefined
  }

  #armStart(): void {
    this.#startTimer = setTimeout(() => {
      this.#kill(timedOut('starting an HSM agent', START_MS))
    }, START_MS)
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    clearTimeout(pending?.timer)
    return pending
  }

  #kill(error: HsmError): void {
    this.#fail(error)
    this.#connection.kill()
  }

  #fail(error: HsmError): void {
    this.#ended ??= error
    clearTimeout(this.#startTimer)
    this.#finishLogin('failed')
    this.#rejectReady(this.#ended)
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(this.#ended)
  }
}

import { secret, wipe } from '@sealfleet/format'

import { CKR } from '../errors/ckr.js'
import { CkrError, type Cryptoki, type Handle } from './cryptoki.js'

/**
 * OPENING → IDLE → LEASED → IDLE | CLOSED | HUNG. A session that failed in any way is closed, never reused. A session
 * that came back after the hard time-out is HUNG: never closed, never reused; it dies with the agent.
 */
export interface Session {
  readonly handle: Handle
  /**
   * The pool's generation when it was opened. A login or re-opening raises it; older sessions are dropped on return.
   */
  readonly generation: number
  leasedAt: number
  /** For outputs; wiped when the session goes back. */
  readonly out: Buffer
  /** Keeps the module's inputs alive; their owner wipes them, since a retry needs them again. */
  input: readonly Buffer[]
}

export interface SessionsOptions {
  readonly size: number
  readonly hardTimeoutMs: number
  readonly now: () => number
  /** For modules that refuse read-only sessions. Default false. */
  readonly readWrite?: boolean
  readonly onReplaced?: () => void
  readonly onCapacity?: (sessions: number) => void
}

const OUT_LENGTH = 64
/** Room for GCM outputs as well: 64 bytes of nonces, a tag, and the bytes that a careless module writes beyond. */
const OUT_ALLOCATED = OUT_LENGTH + 64

/**
 * The read-only sessions of one agent: at most `size`, last in first out, none closed when idle. In addition the *login
 * session*, which stays open so that the login lasts (a token logs out when its last session closes).
 */
export class Sessions {
  readonly #module: Cryptoki
  readonly #options: SessionsOptions
  readonly #idle: Session[] = []
  readonly #leased = new Set<Session>()
  readonly #waiters: { grant: (session: Session) => void; refuse: (error: unknown) => void }[] = []
  #hung = 0
  #target: number
  #loginSession: Handle | undefined
  #epoch = 0

  constructor(module: Cryptoki, options: SessionsOptions) {
    this.#module = module
    this.#options = options
    this.#target = options.size
  }

  get generation(): number {
    return this.#epoch
  }

  get anchor(): Handle {
    if (this.#loginSession === undefined) throw new CkrError(CKR.SESSION_HANDLE_INVALID, 'anchor')
    return this.#loginSession
  }

  counts(): { idle: number; leased: number; hung: number; broken: number } {
    const late = [...this.#leased].filter((session) => this.#isLate(session)).length
    const leased = this.#leased.size - late
    const hung = this.#hung + late
    return {
      idle: this.#idle.length,
      leased,
      hung,
      broken: Math.max(0, this.#target - this.#idle.length - leased - hung),
    }
  }

  openLoginSession(): Handle {
    this.#loginSession = this.#module.openSession(this.#options.readWrite ?? false)
    return this.#loginSession
  }

  /** Opens the sessions; returns how many the token gave. Throws when it gave none. */
  openAll(): number {
    while (this.#idle.length < this.#target) {
      try {
        this.#idle.push(this.#open())
      } catch (error) {
        if (this.#idle.length === 0 || !(error instanceof CkrError && error.ckr === CKR.SESSION_COUNT)) throw error
        this.#target = this.#idle.length
        this.#options.onCapacity?.(this.#target)
      }
    }
    return this.#idle.length
  }

  /**
   * Leases a session: an idle one, a new one below the limit, or the next to come back. Throws the error of opening
   * one.
   */
  async lease(): Promise<Session> {
    const session = this.#takeIdle() ?? (this.#live() < this.#target ? this.#openOrWait() : undefined)
    if (session !== undefined) return this.#grant(session)
    return new Promise<Session>((resolve, reject) => {
      this.#waiters.push({ grant: resolve, refuse: reject })
    })
  }

  /** Gives a session back after a call that succeeded. */
  release(session: Session): void {
    if (!this.#leased.delete(session)) return
    this.#wipe(session)
    if (this.#isLate(session)) {
      this.#hung += 1
      this.#feedWaiters()
      return
    }
    if (session.generation !== this.#epoch) this.#close(session)
    else this.#idle.push(session)
    this.#feedWaiters()
  }

  /** Drops a session after any failure of a call on it. */
  discard(session: Session): void {
    if (!this.#leased.delete(session)) return
    this.#wipe(session)
    if (this.#isLate(session)) this.#hung += 1
    else {
      this.#close(session)
      this.#options.onReplaced?.()
    }
    this.#feedWaiters()
  }

  /** After DEVICE_MEMORY: half the sessions, at least one. */
  halveLimit(): void {
    this.#target = Math.max(1, Math.floor(this.#target / 2))
    this.#options.onCapacity?.(this.#target)
    while (this.#idle.length > 0 && this.#live() > this.#target) this.#close(this.#idle.pop())
  }

  /** A login changed the keys that sessions see: earlier sessions are dropped when they come back. */
  invalidateSessions(): void {
    this.#epoch += 1
    for (const session of this.#idle.splice(0)) this.#close(session)
  }

  /** All sessions are lost: opens a new login session and drops all older sessions. Throws when none can be opened. */
  reopenLoginSession(): Handle {
    this.invalidateSessions()
    if (this.#loginSession !== undefined) this.#closeHandle(this.#loginSession)
    this.#loginSession = undefined
    return this.openLoginSession()
  }

  /** Closes idle sessions; call it when none is leased. */
  closeAll(): void {
    for (const session of this.#idle.splice(0)) this.#close(session)
    if (this.#loginSession !== undefined) this.#closeHandle(this.#loginSession)
    this.#loginSession = undefined
  }

  get leased(): number {
    return this.#leased.size
  }

  #live(): number {
    return this.#idle.length + this.#leased.size + this.#hung
  }

  #isLate(session: Session): boolean {
    return this.#options.now() - session.leasedAt >= this.#options.hardTimeoutMs
  }

  #open(): Session {
    const handle = this.#module.openSession(this.#options.readWrite ?? false)
    return { handle, generation: this.#epoch, leasedAt: 0, out: secret(OUT_ALLOCATED), input: [] }
  }

  /** When the token has no more sessions but some of ours are leased, wait for one of those. */
  #openOrWait(): Session | undefined {
    try {
      return this.#open()
    } catch (error) {
      const full = error instanceof CkrError && error.ckr === CKR.SESSION_COUNT
      if (!full || this.#leased.size === 0) throw error
      this.#target = this.#live()
      this.#options.onCapacity?.(this.#target)
      return undefined
    }
  }

  #takeIdle(): Session | undefined {
    return this.#idle.pop()
  }

  #grant(session: Session): Session {
    session.leasedAt = this.#options.now()
    this.#leased.add(session)
    return session
  }

  #feedWaiters(): void {
    while (this.#waiters.length > 0) {
      const session = this.#takeIdle()
      if (session !== undefined) {
        this.#waiters.shift()?.grant(this.#grant(session))
        continue
      }
      if (this.#live() >= this.#target) return
      try {
        const opened = this.#openOrWait()
        if (opened === undefined) return
        this.#waiters.shift()?.grant(this.#grant(opened))
      } catch (error) {
        this.#waiters.shift()?.refuse(error)
      }
    }
  }

  #wipe(session: Session): void {
    session.out.fill(0)
    session.input = []
  }

  #close(session: Session | undefined): void {
    if (session === undefined) return
    this.#closeHandle(session.handle)
    // No call is running on it: a hanging session is never closed and keeps its buffer.
    wipe(session.out)
  }

  /** Closing a session that the token has already forgotten fails; the handle is gone either way. */
  #closeHandle(handle: Handle): void {
    try {
      this.#module.closeSession(handle)
    } catch (error) {
      if (!(error instanceof CkrError)) throw error
    }
  }
}

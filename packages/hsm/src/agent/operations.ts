import { setTimeout as delay } from 'node:timers/promises'

import { CKR } from '../errors/ckr.js'
import type { ErrorClass, VendorProfile } from '../errors/classes.js'
import { classifyCkr } from '../errors/classify.js'
import type { Notice } from '../wire/messages.js'
import { CkrError, WrongAnswer, type Cryptoki, type Handle } from './cryptoki.js'
import { describe, OperationFailure } from './failure.js'
import { Keys } from './keys.js'
import { nextStep, type Tries } from './recovery.js'
import { Sessions, type Session } from './sessions.js'

export interface OperationsOptions {
  readonly sessions: number
  readonly hardTimeoutMs: number
  /** Asks the owner of the PIN for a login on the login session; resolves when it is done. */
  readonly login: (anchor: Handle) => Promise<void>
  readonly notice: (notice: Notice) => void
  /** Peculiarities of the token's vendor. */
  readonly profile?: VendorProfile | undefined
  readonly now?: () => number
  readonly sleep?: (ms: number) => Promise<void>
  readonly random?: () => number
}

const GENERAL_WINDOW_MS = 30_000
const SESSION_WINDOW_MS = 1_000

/**
 * Runs operations on leased sessions and repairs what can be repaired inside this process: the actions of the error
 * table. Every other failure leaves as OperationFailure, with a verdict for the pool.
 */
export class Operations {
  readonly sessions: Sessions
  readonly keys: Keys
  readonly #module: Cryptoki
  readonly #options: OperationsOptions
  readonly #now: () => number
  #generalAt = -Infinity
  #sessionLostAt = -Infinity
  #healing: Promise<void> | undefined

  constructor(module: Cryptoki, options: OperationsOptions) {
    this.#module = module
    this.#options = options
    this.#now = options.now ?? performance.now.bind(performance)
    const bound = (label: string, kcv: Buffer | null) => {
      options.notice({ what: 'bound', label, kcv: kcv === null ? null : kcv.toString('hex') })
    }
    this.keys = new Keys(module, bound, options.profile)
    this.sessions = new Sessions(module, {
      size: options.sessions,
      hardTimeoutMs: options.hardTimeoutMs,
      now: this.#now,
      readWrite: options.profile?.sessions === 'read-write',
      onReplaced: () => {
        options.notice({ what: 'session-replaced' })
      },
      onCapacity: (sessions) => {
        options.notice({ what: 'capacity', sessions })
      },
    })
  }

  /** Opens the login session, logs in, opens the other sessions; returns their number. */
  async start(): Promise<number> {
    await this.#options.login(this.sessions.openLoginSession())
    return this.sessions.openAll()
  }

  /**
   * Leases a session, binds the key and runs `use` on them, again after each repair. So `use` must not change its
   * inputs. It puts the buffers it hands to the module into `session.input` to keep them alive; the caller wipes them
   * afterwards.
   */
  async run<T>(label: string, use: (session: Session, key: Handle) => Promise<T>): Promise<T> {
    const tries: Tries = { retry: 0, session: 0, rebind: 0 }
    let held: Session | undefined
    for (;;) {
      let epoch = this.sessions.generation
      try {
        const session: Session = held ?? (await this.sessions.lease())
        held = session
        epoch = session.generation
        const key = this.keys.cached(label, epoch) ?? (await this.keys.bind(label, session))
        const result = await use(session, key)
        this.sessions.release(session)
        return result
      } catch (error) {
        const kept = await this.#recover(error, { label, tries, session: held, epoch })
        held = kept
      }
    }
  }

  /** Checks that a session answers, by a search for a key that never exists. Rejects with OperationFailure. */
  async ping(): Promise<void> {
    let session: Session | undefined
    try {
      session = await this.sessions.lease()
      this.#module.findKeys(session.handle, { label: 'sealfleet/ping' })
    } catch (error) {
      if (session !== undefined) this.sessions.discard(session)
      this.#classify(error)
      throw asFailure(error)
    }
    this.sessions.release(session)
  }

  /** Returns the session to continue with if it stays the same, undefined for a new one; throws to give up. */
  async #recover(
    error: unknown,
    at: { label: string; tries: Tries; session: Session | undefined; epoch: number },
  ): Promise<Session | undefined> {
    const { label, tries, session, epoch } = at
    const errorClass = this.#blind(error) ? 'rebind' : this.#classify(error)
    const waits = errorClass === 'retry' && tries.retry < 3
    if (session !== undefined && !waits) {
      // A search that ended with an answer leaves a clean session; an error of a call leaves a dirty one.
      if (error instanceof OperationFailure) this.sessions.release(session)
      else this.sessions.discard(session)
    }
    if (errorClass === undefined) throw asFailure(error)
    const step = nextStep(errorClass, tries, this.#generalBefore(errorClass), (this.#options.random ?? Math.random)())
    switch (step.do) {
      case 'wait':
        if (isDeviceMemory(error)) this.sessions.halveLimit()
        await (this.#options.sleep ?? delay)(step.ms)
        return session
      case 'replace-session':
        if (isSessionLost(error)) await this.#sessionLost(epoch)
        return undefined
      case 'rebind':
        this.keys.forget(label, epoch)
        await this.#rebind(epoch)
        return undefined
      case 'give-up':
        throw new OperationFailure(step.verdict, describe(error), error)
    }
  }

  #classify(error: unknown): ErrorClass | undefined {
    if (error instanceof WrongAnswer) return 'recycle'
    if (!(error instanceof CkrError)) return undefined
    const errorClass = classifyCkr(error.ckr, error.fn, this.#options.profile?.rows)
    this.#options.notice({ what: 'error', ckr: error.ckr, fn: error.fn, class: errorClass })
    return errorClass
  }

  /**
   * Whether "no such key" was answered while the login was lost: a token shows private keys to its logged-in user
   * alone. Other operations reach this point while the first one waits for the new login, which the lock-out may delay.
   */
  #blind(error: unknown): boolean {
    if (!(error instanceof OperationFailure && error.verdict === 'unknown')) return false
    return !this.#anchorLives() || !this.#module.loggedIn(this.sessions.anchor)
  }

  #generalBefore(errorClass: ErrorClass): boolean {
    if (errorClass !== 'general') return false
    const before = this.#now() - this.#generalAt < GENERAL_WINDOW_MS
    this.#generalAt = this.#now()
    return before
  }

  /** One lost session is replaced; two within a second mean that all are gone. */
  async #sessionLost(epoch: number): Promise<void> {
    const again = this.#now() - this.#sessionLostAt < SESSION_WINDOW_MS
    this.#sessionLostAt = this.#now()
    if (again || !this.#anchorLives()) await this.#heal(epoch, () => this.#reopen())
  }

  async #rebind(epoch: number): Promise<void> {
    await this.#heal(epoch, async () => {
      if (!this.#anchorLives()) return this.#reopen()
      if (this.#module.loggedIn(this.sessions.anchor)) return
      await this.#options.login(this.sessions.anchor)
      this.sessions.invalidateSessions()
    })
  }

  async #reopen(): Promise<void> {
    await this.#options.login(this.sessions.reopenLoginSession())
    this.#options.notice({ what: 'sessions-reopened' })
  }

  /** Runs one repair at a time, and none for a failure that an earlier repair has covered. */
  async #heal(epoch: number, heal: () => Promise<void>): Promise<void> {
    if (this.#healing !== undefined) return this.#healing
    if (epoch < this.sessions.generation) return
    // Callers that join get the first one's result: a failure with a verdict, never the bare error.
    this.#healing = heal()
      .catch((error: unknown) => {
        throw asFailure(error)
      })
      .finally(() => (this.#healing = undefined))
    await this.#healing
  }

  #anchorLives(): boolean {
    try {
      this.#module.loggedIn(this.sessions.anchor)
      return true
    } catch (error) {
      if (error instanceof CkrError) return false
      throw error
    }
  }
}

/** The session is gone. Other codes of its class concern an operation on it and say nothing about other sessions. */
function isSessionLost(error: unknown): boolean {
  return error instanceof CkrError && (error.ckr === CKR.SESSION_HANDLE_INVALID || error.ckr === CKR.SESSION_CLOSED)
}

function isDeviceMemory(error: unknown): boolean {
  return error instanceof CkrError && error.ckr === CKR.DEVICE_MEMORY
}

/** A failure before the operation itself: of a repair, or of a kind that no table knows. The agent is replaced. */
function asFailure(error: unknown): OperationFailure {
  return error instanceof OperationFailure ? error : new OperationFailure('recycle', describe(error), error)
}

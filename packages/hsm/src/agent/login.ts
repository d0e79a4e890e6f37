import { setTimeout } from 'node:timers/promises'

import type { ErrorClass, VendorProfile } from '../errors/classes.js'
import { classifyCkr } from '../errors/classify.js'
import type { FrameWriter } from '../wire/frame-writer.js'
import { KIND } from '../wire/frames.js'
import type { LoggedIn, WantLogin } from '../wire/messages.js'
import { CKF } from './constants.js'
import { CkrError, type Handle } from './cryptoki.js'
import { describe, OperationFailure } from './failure.js'
import type { Pkcs11Module } from './module.js'
import type { PinReader } from './pin.js'

/** Milliseconds before the second try of a login; spread, since processes that collided would collide again. */
const AGAIN_MS = 100

/**
 * Logs in only when the parent allows it: the parent has the PIN lock-out, which stops every process from trying a
 * rejected PIN again. WANT_LOGIN → (parent) LOGIN → C_Login → LOGGED_IN.
 */
export class LoginGate {
  readonly #module: Pkcs11Module
  readonly #pin: PinReader
  readonly #writer: FrameWriter
  readonly #profile: VendorProfile | undefined
  #allowed: (() => void) | undefined

  constructor(module: Pkcs11Module, pin: PinReader, writer: FrameWriter, profile?: VendorProfile) {
    this.#module = module
    this.#profile = profile
    this.#pin = pin
    this.#writer = writer
  }

  /** Handles the parent's LOGIN frame. */
  allow(): void {
    this.#allowed?.()
    this.#allowed = undefined
  }

  /**
   * Resolves when the user is logged in on this session; rejects with verdict `login` when the token refused the PIN.
   *
   * GENERAL_ERROR is tried once more, as everywhere (docs/design/hsm-pool.md, "Errors"): SoftHSM answers so when another process writes
   * the token's file at that moment. It says nothing about the PIN. Still, the second try asks the parent again, which
   * checks the token's counters and the lock-out. A rejected PIN is never tried twice.
   */
  async login(session: Handle): Promise<void> {
    try {
      await this.#loginOnce(session)
    } catch (error) {
      if (this.#classOf(error) !== 'general') throw error
      await setTimeout(AGAIN_MS * (1 + Math.random()))
      await this.#loginOnce(session)
    }
  }

  async #loginOnce(session: Handle): Promise<void> {
    const { token, flags } = this.#module.identity()
    const want: WantLogin = { token, pin: pinState(flags) }
    const allowed = new Promise<void>((resolve) => (this.#allowed = resolve))
    this.#writer.sendJson(KIND.WANT_LOGIN, 0, want)
    await allowed
    try {
      if (want.pin === 'on-device') this.#module.login(session, undefined)
      else {
        this.#pin.use((pin) => {
          this.#module.login(session, pin)
        })
      }
    } catch (error) {
      const ckr = error instanceof CkrError ? error.ckr : undefined
      const rejected = this.#classOf(error) === 'login'
      const outcome: LoggedIn = { accepted: false, rejected, text: describe(error), ckr }
      this.#writer.sendJson(KIND.LOGGED_IN, 0, outcome)
      if (!rejected) throw error
      throw new OperationFailure('login', describe(error), error)
    }
    const outcome: LoggedIn = { accepted: true, rejected: false, text: '' }
    this.#writer.sendJson(KIND.LOGGED_IN, 0, outcome)
  }

  #classOf(error: unknown): ErrorClass | undefined {
    return error instanceof CkrError ? classifyCkr(error.ckr, error.fn, this.#profile?.rows) : undefined
  }
}

/** The state of the user PIN by the token's flags. */
export function pinState(flags: number): WantLogin['pin'] {
  if ((flags & CKF.USER_PIN_LOCKED) !== 0) return 'locked'
  if ((flags & CKF.PROTECTED_AUTHENTICATION_PATH) !== 0) return 'on-device'
  return (flags & CKF.USER_PIN_FINAL_TRY) !== 0 ? 'final-try' : 'ok'
}

/**
 * Protects the token's retry counter. A PIN that the token has rejected is not tried again by any process until an
 * operator resets it. A PIN that was never accepted is tried by one process at a time.
 */
export interface PinIdentity {
  /** Of the token. */
  readonly serial: string
  readonly token: string
  /** The configured name of the PIN; never the PIN. */
  readonly pinId: string
}

/** `failed`: the login ended without an answer about the PIN. */
export type LoginOutcome = 'accepted' | 'rejected' | 'failed'

export interface PinLockout {
  /**
   * Runs `login` and records its outcome. Resolves to `locked-out` without running it when this PIN was rejected before.
   * Calls for a PIN that was never accepted run one after another. Rejects when the state of the lock-out cannot be
   * read or written; then no login runs.
   */
  guard(id: PinIdentity, login: () => Promise<LoginOutcome>): Promise<LoginOutcome | 'locked-out'>
}

/** The lock-out of one process. A fleet shares one in its database instead. */
export function memoryPinLockout(): PinLockout & { reset(id: PinIdentity): void } {
  const states = new Map<string, 'proven' | 'locked-out'>()
  const queues = new Map<string, Promise<unknown>>()
  const keyOf = (id: PinIdentity) => JSON.stringify([id.serial, id.token, id.pinId])

  const attempt = async (key: string, login: () => Promise<LoginOutcome>): Promise<LoginOutcome | 'locked-out'> => {
    if (states.get(key) === 'locked-out') return 'locked-out'
    const outcome = await login()
    if (outcome === 'accepted') states.set(key, 'proven')
    if (outcome === 'rejected') states.set(key, 'locked-out')
    return outcome
  }

  return {
    async guard(id, login) {
      const key = keyOf(id)
      if (states.get(key) === 'proven') return attempt(key, login)
      const turn = (queues.get(key) ?? Promise.resolve()).then(() => attempt(key, login))
      // The queue continues after a failed turn; the caller gets the failure through `turn`.
      queues.set(
        key,
        turn.then(
          () => undefined,
          () => undefined,
        ),
      )
      return turn
    },
    reset(id) {
      states.delete(keyOf(id))
    },
  }
}

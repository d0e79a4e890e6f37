import type { HsmEvent } from './events.js'
import type { PinLockout } from './pool/pin-lockout.js'

/**
 * Terms: a *module* is the vendor's shared library; a *token* is the HSM's partition, found by label; an *agent* is our
 * process that loads the module; a *session* is PKCS#11's own, one operation at a time; a *pool* is the agents and
 * sessions of one process; a *check value* is the first 8 bytes of HMAC(M, "SFV1-KCV-v1").
 */

/**
 * A file is opened and handed to the agent unread; a value goes over a pipe. The pool keeps no copy of a file's PIN.
 */
export type PinSource =
  | {
      readonly kind: 'file'
      /** not opened for reading here: the agent gets its descriptor */
      readonly path: string
      /** folders whose files may be readable by others (SEALFLEET_SECRET_FOLDERS); none when not given */
      readonly sharedFolders?: readonly string[]
    }
  | { readonly kind: 'value'; readonly value: Uint8Array }

export interface TokenOptions {
  /** Path of the PKCS#11 shared library. */
  readonly module: string
  /** Token label. */
  readonly token: string
  /** Needed only where two tokens carry the same label. */
  readonly serial?: string
  readonly pin: PinSource
  /** Names this PIN in the lock-out, never the PIN itself; change it together with the PIN. Default `default`. */
  readonly pinId?: string
  /** Added to the agent's environment, e.g. SOFTHSM2_CONF. */
  readonly env?: Readonly<Record<string, string>>
  /** For C_Initialize (NSS wants its configuration there). */
  readonly libraryParameters?: string
}

export interface PoolOptions {
  /**
   * Tokens that hold the same keys, in order of preference: the first is the primary; the others stand by with one
   * agent each and serve while it cannot.
   */
  readonly tokens: readonly [TokenOptions, ...TokenOptions[]]
  /** Agent processes. Default 2, so that one may restart. */
  readonly agents?: number
  /** Sessions of each agent, beside its login session. Default 8. */
  readonly sessions?: number
  /** An operation slower than this is reported. Default 1,000 ms. */
  readonly softTimeoutMs?: number
  /** An operation slower than this is replayed on the other agent; its session is lost. Default 5,000 ms. */
  readonly hardTimeoutMs?: number
  /** Waiting and running time together, replay included. Default 15,000 ms. */
  readonly deadlineMs?: number
  /** Operations that may wait for a session. Default 4 · sessions. */
  readonly maxWaiters?: number
  /** Time limit for an agent to become ready, without its wait for a turn to log in. Default 30,000 ms. */
  readonly startTimeoutMs?: number
  /** After three quick restarts of an agent, one per this time. Default 30,000 ms. */
  readonly restartIntervalMs?: number
  /** Check values of expected keys are recomputed this often. Default 15,000 ms. */
  readonly probeIntervalMs?: number
  /** An agent larger than this is replaced when it is quiet. Default 192 MiB. */
  readonly maxAgentRssBytes?: number
  /** Open although no token is there yet, and keep trying. Default false. */
  readonly startWithoutToken?: boolean
  /** Default: a lock-out of this pool alone. Give the fleet's. */
  readonly lockout?: PinLockout
  readonly onEvent?: (event: HsmEvent) => void
}

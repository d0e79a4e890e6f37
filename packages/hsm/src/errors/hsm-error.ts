import { ckrName } from './ckr.js'

/** The closed list of failures this package throws. KEY_EXISTS comes from key administration alone. */
export type HsmErrorCode =
  | 'HSM_UNAVAILABLE'
  | 'HSM_BUSY'
  | 'HSM_SESSION_LOST'
  | 'HSM_ACCESS_DENIED'
  | 'KEY_MISMATCH'
  | 'KEY_EXISTS'
  | 'E_KEY_UNKNOWN'
  | 'E_NONCE_UNWRAP'

export interface HsmErrorDetail {
  /** The PKCS#11 return value, if one caused the failure. */
  readonly ckr?: number | undefined
  /** The Cryptoki function that returned it. */
  readonly fn?: string | undefined
  /** One sentence for an operator: the action to take. */
  readonly fix?: string | undefined
  readonly cause?: unknown
}

/** A coded failure of the HSM or of a key in it. The message never holds a PIN, a message or derived bytes. */
export class HsmError extends Error {
  override readonly name = 'HsmError'
  readonly code: HsmErrorCode
  readonly ckr?: number
  readonly fn?: string
  readonly fix?: string

  constructor(code: HsmErrorCode, message: string, detail: HsmErrorDetail = {}) {
    const source = detail.ckr === undefined ? '' : ` [${detail.fn ?? 'PKCS#11'}: ${ckrName(detail.ckr)}]`
    super(`${message}${source}`, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    if (detail.ckr !== undefined) this.ckr = detail.ckr
    if (detail.fn !== undefined) this.fn = detail.fn
    if (detail.fix !== undefined) this.fix = detail.fix
  }
}

/** All waiting places are taken: delay the job and try again; this does not count as an attempt. */
export class HsmBusy extends HsmError {
  constructor(waiters: number) {
    super('HSM_BUSY', `${waiters} operations already wait for an HSM session`, {
      fix: 'Nothing to repair: the job is delayed. If this lasts, raise the sessions per agent or lower the concurrency.',
    })
  }
}

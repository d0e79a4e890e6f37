import { CKR, ckrName } from '../errors/ckr.js'
import { HsmError } from '../errors/hsm-error.js'
import type { TokenOptions } from '../options.js'
import type { Failed, OperationError } from '../wire/messages.js'

/** Every failure that leaves the package, with its fix. */

/** An agent did not become ready. */
export function startFailure(failed: Failed, token: TokenOptions): HsmError {
  const { ckr, fn } = failed
  const source = { ckr, fn }
  switch (failed.stage) {
    case 'library':
      return new HsmError('HSM_ACCESS_DENIED', `the PKCS#11 module ${token.module} can't be loaded: ${failed.text}`, {
        fix: "Set SEALFLEET_PKCS11_MODULE to the path of the vendor's PKCS#11 library, built for this machine.",
      })
    case 'initialize':
      return new HsmError('HSM_UNAVAILABLE', `the PKCS#11 module ${token.module} does not initialise`, {
        ...source,
        fix: "Check the module's own configuration (for SoftHSM the file that SOFTHSM2_CONF names) and its connection.",
      })
    case 'token':
      return new HsmError('HSM_UNAVAILABLE', failed.text, {
        ...source,
        fix: `Connect or initialise the token labelled "${token.token}", or set SEALFLEET_PKCS11_TOKEN to one that is there.`,
      })
    case 'login':
      return ckr === undefined ? pinUnreadable(failed.text) : loginFailure(ckr, fn, failed.rejected)
    case 'sessions':
    case 'config':
      return new HsmError('HSM_UNAVAILABLE', `the token gave no session: ${failed.text}`, {
        ...source,
        fix: "Lower the sessions of all workers together below the token's limit, or end other users of the token.",
      })
  }
}

function pinUnreadable(text: string): HsmError {
  return new HsmError('HSM_ACCESS_DENIED', `there is no PIN to log in with: ${text}`, {
    fix: 'Put the PIN into the file that SEALFLEET_PKCS11_PIN_FILE names (or into SEALFLEET_PKCS11_PIN).',
  })
}

const LOGIN_CODES: readonly number[] = [
  CKR.PIN_INCORRECT,
  CKR.PIN_INVALID,
  CKR.PIN_LEN_RANGE,
  CKR.PIN_EXPIRED,
  CKR.PIN_LOCKED,
  CKR.USER_PIN_NOT_INITIALIZED,
  CKR.USER_TYPE_INVALID,
  CKR.USER_ANOTHER_ALREADY_LOGGED_IN,
]

/** C_Login (or a step before it) failed. `rejected`: by a vendor's own return value. */
function loginFailure(ckr: number, fn: string | undefined, rejected = false): HsmError {
  if (!rejected && !LOGIN_CODES.includes(ckr)) {
    return new HsmError('HSM_UNAVAILABLE', 'logging in to the token failed', {
      ckr,
      fn,
      fix: 'Check that the token is connected and answers; logging in is tried again by itself.',
    })
  }
  if (ckr === CKR.PIN_LOCKED) return pinLocked()
  return new HsmError('HSM_ACCESS_DENIED', 'the token rejected the PIN; it is not tried again', {
    ckr,
    fn,
    fix: 'Correct the PIN and give it a new pin id (or reset the lockout of the old one: `sealfleet doctor pin reset`), so that no further wrong attempt locks the token.',
  })
}

export function pinLocked(): HsmError {
  return new HsmError('HSM_ACCESS_DENIED', "the token's user PIN is locked", {
    ckr: CKR.PIN_LOCKED,
    fn: 'C_Login',
    fix: 'Have the security officer reset the user PIN (C_InitPIN), then reset the lockout: `sealfleet doctor pin reset`.',
  })
}

export function pinLockedOut(token: TokenOptions): HsmError {
  return new HsmError(
    'HSM_ACCESS_DENIED',
    `the PIN "${token.pinId ?? 'default'}" was rejected before and is locked out`,
    {
      fix: 'Correct the PIN, then give it a new pin id or reset the old one (`sealfleet doctor pin reset`); nothing logs in until then.',
    },
  )
}

export function pinFinalTry(): HsmError {
  return new HsmError('HSM_ACCESS_DENIED', 'one more wrong PIN would lock the token, so none is tried', {
    fix: 'Log in once by hand with the right PIN (pkcs11-tool --login): that resets the counter. Then start again.',
  })
}

/** Turns the agent's verdict on one operation into the caller's error. */
export function operationFailure(label: string, error: OperationError): HsmError {
  const source = { ckr: error.ckr, fn: error.fn }
  switch (error.verdict) {
    case 'unknown':
      return keyUnknown(label)
    case 'mismatch':
      return new HsmError('KEY_MISMATCH', error.text, {
        fix: 'Stop and find out which key is right: the token was restored wrongly or holds a second key. Nothing is sealed with it.',
      })
    case 'exists':
      return keyExists(label)
    case 'login':
      return error.ckr === undefined ? pinUnreadable(error.text) : loginFailure(error.ckr, error.fn, true)
    case 'data':
      return dataFailure(label, error)
    case 'denied':
      return new HsmError('HSM_ACCESS_DENIED', `the token does not let ${label} do this: ${error.text}`, {
        ...source,
        fix: 'Check the mechanisms of the token, the attributes of the key and the role of the user that logs in.',
      })
    case 'refused':
      return new HsmError('HSM_ACCESS_DENIED', `refused before the token: ${error.text}`, {
        fix: 'This is a defect of the caller: only the inputs of FORMAT §3 and §5 reach a master key.',
      })
    case 'recycle':
      return new HsmError('HSM_UNAVAILABLE', `the HSM failed: ${error.text}`, {
        ...source,
        fix: 'Check the HSM and its connection; the pool restarts its agents by itself and the job is tried again.',
      })
  }
}

function dataFailure(label: string, error: OperationError): HsmError {
  const source = { ckr: error.ckr, fn: error.fn }
  if (error.fn === 'C_Decrypt') {
    return new HsmError('E_NONCE_UNWRAP', `the wrapped nonces don't open under ${label}`, {
      ...source,
      fix: 'The record or its associated data was changed, or was wrapped under another key: compare it with a backup.',
    })
  }
  const answer = error.ckr === undefined ? error.text : ckrName(error.ckr)
  return new HsmError('HSM_ACCESS_DENIED', `the token refuses the input of ${label}: ${answer}`, {
    ...source,
    fix: 'The token does not take messages of this length under CKM_SHA256_HMAC: it cannot be used as it is configured.',
  })
}

export function keyExists(label: string): HsmError {
  return new HsmError('KEY_EXISTS', `the token already holds a key ${label}`, {
    fix: 'Look at it with `sealfleet keys list`; take the next version number for a new key.',
  })
}

/** Two processes computed different values with a key that was just made. */
export function contradiction(label: string): HsmError {
  return new HsmError('KEY_MISMATCH', `two processes computed different things with ${label}; it was destroyed again`, {
    fix: 'Take this HSM out of service and have it examined: it computes wrongly. Nothing was sealed with the key.',
  })
}

function keyUnknown(label: string): HsmError {
  return new HsmError('E_KEY_UNKNOWN', `the token holds no key ${label}`, {
    fix: 'Check that this is the right token, and look for the key with `sealfleet keys list`; restore it from a backup of the HSM.',
  })
}

/** A secondary does not hold the key. Callers never get "unknown" for this: the primary may well hold it. */
export function notThere(label: string, cause: HsmError): HsmError {
  return new HsmError('KEY_MISMATCH', `the secondary token that serves now holds no key ${label}`, {
    cause,
    fix: "Copy the key to that token by the vendor's means, or bring the primary back; other keys keep working.",
  })
}

/** A secondary was asked for a key whose check value is not known. */
export function notConfirmed(label: string): HsmError {
  return new HsmError('KEY_MISMATCH', `no check value is known of ${label}: a secondary token does not use it`, {
    fix: 'Bring the primary token back, or register the key with its check value (`sealfleet keys check` shows it).',
  })
}

export function timedOut(what: string, ms: number): HsmError {
  return new HsmError('HSM_UNAVAILABLE', `${what} took longer than ${ms} ms`, {
    fix: 'Check the HSM and its connection; the pool replaces hanging agents by itself and the job is tried again.',
  })
}

export function agentDied(how: string): HsmError {
  return new HsmError('HSM_SESSION_LOST', `the HSM agent ended during the operation (${how})`, {
    fix: 'Nothing to repair: the agent is restarted and the job is tried again. If it recurs, look for crashes of the PKCS#11 module.',
  })
}

/** An agent did not find a key that a fresh process found. */
export function agentBlind(label: string): HsmError {
  return new HsmError('HSM_SESSION_LOST', `the HSM agent no longer found ${label}, which is there`, {
    fix: 'Nothing to repair: the agent is replaced and the job is tried again. If it recurs, look at the connection to the token.',
  })
}

export function breakerOpen(cause: HsmError | undefined): HsmError {
  return new HsmError('HSM_UNAVAILABLE', 'the HSM failed too often and is paused', {
    ckr: cause?.ckr,
    fn: cause?.fn,
    fix: cause?.fix ?? 'Check the HSM and its connection; operations resume by themselves when a probe succeeds.',
    cause,
  })
}

export function poolClosed(): HsmError {
  return new HsmError('HSM_UNAVAILABLE', 'the HSM pool is closed', {
    fix: 'Nothing to repair: this process is stopping.',
  })
}

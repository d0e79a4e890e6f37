import type { ErrorClass } from '../errors/classes.js'
import type { Verdict } from '../wire/messages.js'

/** The steps that an operation has already tried. One object per operation; {@link nextStep} counts in it. */
export interface Tries {
  retry: number
  session: number
  rebind: number
}

export type RecoveryStep =
  /** Wait, then use the same session again. */
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'replace-session' }
  | { readonly do: 'rebind' }
  | { readonly do: 'give-up'; readonly verdict: Verdict }

const RETRIES = 3
const FIRST_DELAY_MS = 50
const MAX_DELAY_MS = 400

/**
 * The next step after a failed call: the actions of the error table, with their bounds. `generalBefore` says whether
 * GENERAL_ERROR was seen in the last 30 s by any operation. `random` in [0, 1) spreads the delays.
 */
export function nextStep(error: ErrorClass, tries: Tries, generalBefore: boolean, random: number): RecoveryStep {
  switch (error) {
    case 'retry':
      if (tries.retry < RETRIES) {
        const cap = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (tries.retry + 1))
        tries.retry += 1
        return { do: 'wait', ms: FIRST_DELAY_MS + random * (cap - FIRST_DELAY_MS) }
      }
      return replaceOnce(tries)
    case 'general':
      return generalBefore ? { do: 'give-up', verdict: 'recycle' } : replaceOnce(tries)
    case 'session':
    // The token refuses one more session: another one will come back to the pool.
    // falls through
    case 'capacity':
      return replaceOnce(tries)
    case 'rebind':
      if (tries.rebind > 0) return { do: 'give-up', verdict: 'recycle' }
      tries.rebind += 1
      return { do: 'rebind' }
    case 'fine':
    // Success codes are never thrown by an operation; a module that throws one is not to be trusted.
    // falls through
    case 'recycle':
      return { do: 'give-up', verdict: 'recycle' }
    case 'login':
      return { do: 'give-up', verdict: 'login' }
    case 'configuration':
      return { do: 'give-up', verdict: 'denied' }
    case 'data':
      return { do: 'give-up', verdict: 'data' }
  }
}

function replaceOnce(tries: Tries): RecoveryStep {
  if (tries.session > 0) return { do: 'give-up', verdict: 'recycle' }
  tries.session += 1
  return { do: 'replace-session' }
}

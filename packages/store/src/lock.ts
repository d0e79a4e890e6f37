/** Object lock: a store that keeps a version until a date, or under a legal hold, anyone who asks for its deletion. */
import type { ObjectLock } from './types.js'

/** What a HEAD says of it; undefined: nothing keeps the version now (or these credentials may not see it). */
export function lockIn(answer: {
  readonly ObjectLockRetainUntilDate?: Date | undefined
  readonly ObjectLockLegalHoldStatus?: string | undefined
}): ObjectLock | undefined {
  const { ObjectLockRetainUntilDate: until, ObjectLockLegalHoldStatus: hold } = answer
  const kept = until !== undefined && until.getTime() > Date.now()
  const legalHold = hold === 'ON'
  return kept || legalHold ? { legalHold, ...(kept && { until }) } : undefined
}

/** For people, e.g. `locked until 2027-01-01T00:00:00.000Z`. */
export function lockText({ until, legalHold }: ObjectLock): string {
  const reasons = [
    ...(until === undefined ? [] : [`until ${until.toISOString()}`]),
    ...(legalHold ? ['by a legal hold'] : []),
  ]
  return `locked ${reasons.join(' and ')}`
}

/** Object lock: the store refuses every deletion of a version until a date, or under a legal hold. */
import type { ObjectLock } from './types.js'

/** The lock in a HEAD's answer; undefined: the version is not locked now (or these credentials may not see it). */
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

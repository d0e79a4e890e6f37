import type { FailureStatus, FailureEntry, Owner } from './terms.js'

/** An entry of class permanent-request: dead at once, no page. */
export function permanent(owner: Owner, exitStatus: FailureStatus, summary: string, fix: string): FailureEntry {
  const policy = { kind: 'dead' } as const
  return { class: 'permanent-request', burnsAttempt: true, policy, page: false, exitStatus, owner, summary, fix }
}

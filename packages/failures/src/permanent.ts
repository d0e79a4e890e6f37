import type { ExitStatus, FailureEntry, Owner } from './terms.js'

/** An entry of class permanent-request: dead at once, no one is woken. */
export function permanent(owner: Owner, exitStatus: ExitStatus, summary: string, fix: string): FailureEntry {
  const policy = { kind: 'dead' } as const
  return { class: 'permanent-request', burnsAttempt: true, policy, page: false, exitStatus, owner, summary, fix }
}

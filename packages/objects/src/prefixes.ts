/**
 * Below this lie checkpoints of the audit log and records of destruction. They are no files: whatever the records say, a sweep
 * and a scan neither count nor delete anything there.
 */
export const AUDIT_PREFIX = 'sealfleet-audit/'

/** Below this, processes try out what the store can do when they start (packages/store). */
export const PROBE_PREFIX = '.sealfleet-probe/'
/** Where the doctor does the same, beside the objects of the default domain. */
export const DOCTOR_PREFIX = `default/${PROBE_PREFIX}`

/** Whether an object was put by a process that tried the store out. */
export function isProbe(key: string): boolean {
  return key.startsWith(PROBE_PREFIX) || key.startsWith(DOCTOR_PREFIX)
}

/**
 * Prefix of checkpoints of the audit log and records of destruction. They are not files: whatever the records say, a
 * sweep and a scan neither count nor delete them.
 */
export const AUDIT_PREFIX = 'sealfleet-audit/'

/** Prefix of the objects by which processes test the store at their start (packages/store). */
export const PROBE_PREFIX = '.sealfleet-probe/'
/** Prefix of the doctor's test objects, beside the objects of the default domain. */
export const DOCTOR_PREFIX = `default/${PROBE_PREFIX}`

/** Whether an object is one by which a process tested the store. */
export function isProbe(key: string): boolean {
  return key.startsWith(PROBE_PREFIX) || key.startsWith(DOCTOR_PREFIX)
}

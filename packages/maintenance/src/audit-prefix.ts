/**
 * Below this lie checkpoints of the audit log and records of destruction. They are no files: whatever the register says, a sweep
 * and a scan neither count nor delete anything there.
 */
export const AUDIT_PREFIX = 'sealfleet-audit/'

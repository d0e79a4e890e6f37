import type { AuditErrorCode } from './terms.js'

/** A finding of `audit verify`. */
export type AuditFinding = {
  /**
   * AUDIT_BROKEN: log, chain or checkpoints differ from what was sealed. AUDIT_BEHIND: a rollback. AUDIT_MISMATCH:
   * records and log differ.
   */
  readonly code: AuditErrorCode
  readonly kind: FindingKind
  /** The place: a batch, a row of the log, a checkpoint, a file. */
  readonly subject: string
  readonly message: string
}

export type FindingKind =
  | 'row-removed'
  | 'row-changed'
  | 'row-added'
  | 'batch-missing'
  | 'batch-changed'
  | 'checkpoint-missing'
  | 'checkpoint-changed'
  | 'checkpoint-order'
  | 'checkpoint-forged'
  | 'key-unknown'
  | 'copy-missing'
  | 'copy-differs'
  | 'database-behind'
  | 'anchor-missing'
  | 'anchor-differs'
  | 'record-mismatch'
  | 'event-mismatch'
  | 'deletion-mismatch'
  | 'key-mismatch'
  | 'operator-mismatch'
  | 'unsealed-old'

const CODES: Readonly<Record<FindingKind, AuditErrorCode>> = {
  'row-removed': 'AUDIT_BROKEN',
  'row-changed': 'AUDIT_BROKEN',
  'row-added': 'AUDIT_BROKEN',
  'batch-missing': 'AUDIT_BROKEN',
  'batch-changed': 'AUDIT_BROKEN',
  'checkpoint-missing': 'AUDIT_BROKEN',
  'checkpoint-changed': 'AUDIT_BROKEN',
  'checkpoint-order': 'AUDIT_BROKEN',
  'checkpoint-forged': 'AUDIT_BROKEN',
  'key-unknown': 'AUDIT_BROKEN',
  'copy-missing': 'AUDIT_BEHIND',
  'copy-differs': 'AUDIT_BROKEN',
  'database-behind': 'AUDIT_BEHIND',
  'anchor-missing': 'AUDIT_BEHIND',
  'anchor-differs': 'AUDIT_BROKEN',
  'record-mismatch': 'AUDIT_MISMATCH',
  'event-mismatch': 'AUDIT_MISMATCH',
  'deletion-mismatch': 'AUDIT_MISMATCH',
  'key-mismatch': 'AUDIT_MISMATCH',
  'operator-mismatch': 'AUDIT_MISMATCH',
  'unsealed-old': 'AUDIT_BROKEN',
}

const MOST = 200

/** The first two hundred; `found` counts all. */
export class Findings {
  readonly list: AuditFinding[] = []
  found = 0

  add(kind: FindingKind, subject: string, message: string): void {
    this.found++
    if (this.list.length < MOST) this.list.push({ code: CODES[kind], kind, subject, message })
  }
}

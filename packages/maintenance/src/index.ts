/** Putting right what crashes and outages leave behind: jobs that Redis lost, objects that no file names. */
export type { Finding, StorePorts, SweepOptions, SweepReport } from './terms.js'
export { sweep, sweepDeleted } from './sweep.js'
export { scan } from './scan.js'
export { outOfBalance, reconcile, type JobsPort, type ReconcileOptions, type ReconcileReport } from './reconcile.js'
export { runTasks, type Task, type TaskEvents } from './tasks.js'
export { expire, type ExpireOptions, type ExpireReport } from './expire.js'
export {
  assertBucketIsOurs,
  assertOwnBucket,
  claimBucket,
  FLEET_MARK,
  FleetMismatchError,
  ownerOfBucket,
  takeOverBucket,
} from './fleet-mark.js'
export { AUDIT_PREFIX } from './audit-prefix.js'
export { objectKey, parseObjectKey } from './object-key.js'
export { storedHeaders, type StoredHeader, type StoredHeadersOptions } from './store-headers.js'
export * from './destroy.js'
/** The audit log: chained, signed, copied, verified. */
export { AuditError, type AuditErrorCode, type AuditHsm, type AuditPorts } from './audit/terms.js'
export { chainAudit, type ChainReport } from './audit/chain.js'
export { assertSignable, checkpointAudit, type CheckpointHead, type CheckpointReport } from './audit/checkpoint.js'
export { CHECKPOINT_PREFIX, checkpointKey } from './audit/body.js'
export { formatAnchor, parseAnchor, parseExpectation, type Anchor } from './audit/anchor.js'
export type { AuditFinding } from './audit/findings.js'
export { verifyAudit, type AuditReport, type AuditVerifyOptions } from './audit/verify.js'
export { ADOPTION, adoptAudit, adoptionDetail, type AdoptionDetail } from './audit/adopt.js'
/** Scrubbing: every stored object verified in turn. */
export { scrub, type ScrubOptions, type ScrubPorts } from './scrub/scrub.js'
export { verifyStored, type VerifyHsm } from './scrub/verify-stored.js'

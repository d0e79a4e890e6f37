export { appendAudit, listAudit } from './append-audit.js'
export {
  type AuditBatchRow,
  type Unsealed,
  auditBacklog,
  lastAuditBatch,
  listAuditBatches,
  sealAuditBatch,
  sealedRowCount,
  unsealedAudit,
} from './audit-batches.js'
export { FIRST_PREVIOUS, batchHash, rowsDigest } from './audit-canonical.js'
export {
  type CheckpointRow,
  addCheckpoint,
  lastCheckpoint,
  listCheckpoints,
  markCheckpointStored,
} from './audit-checkpoints.js'
export { auditCommitMismatches } from './audit-commit-mismatches.js'
export { type FileBesideDeletion, filesWithDeletions } from './files-with-deletions.js'
export { joinCommitsWithAudit } from './join-commits-with-audit.js'
export { type KeyBesideEvent, keysWithAudit } from './keys-with-audit.js'
export { type OperatorEvent, listOperatorEvents } from './operator-events.js'
export { type SealedRow, listSealedRows } from './sealed-rows.js'
export { searchAudit } from './search-audit.js'

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
export { commitsBesideEvents } from './audit-commit-mismatches.js'
export { type FileBesideDeletion, filesBesideDeletions } from './files-with-deletions.js'
export { eventsBesideAttempts } from './join-commits-with-audit.js'
export { type KeyBesideEvent, keysBesideEvents } from './keys-with-audit.js'
export { type OperatorEvent, listOperatorEvents } from './operator-events.js'
export { type SealedRow, listSealedRows } from './sealed-rows.js'
export { searchAudit } from './search-audit.js'

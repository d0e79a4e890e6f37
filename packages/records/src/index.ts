/** The records of files, attempts, keys and failures in Postgres: one statement a module, typed in and out. */
export * from './terms.js'
export { RecordsError, RECORDS_ERROR_CODES, type RecordsErrorCode, type RecordsErrorDetail } from './errors.js'
export { openRecords, type Records, type Queryable } from './records.js'
export type { ConnectionOptions } from './connection.js'
export { migrate, migrationStatus, type MigrateOptions, type MigrationStatus } from './migrate/migrate.js'
export { acceptFile, acceptFiles, ACCEPT_CHUNK, type Acceptance, type FileRequest } from './statements/accept-files.js'
export { claimFile, type ClaimInput, type ClaimOutcome } from './statements/claim-file.js'
export { renewLease, type LeaseInput } from './statements/renew-lease.js'
export { openAttempt, type OpenAttemptInput } from './statements/open-attempt.js'
export { commitAttempt, type CommitInput, type CommitOutcome } from './statements/commit-attempt.js'
export { failAttempt, releaseFile, type FailInput } from './statements/fail-attempt.js'
export { ensureDomain, getDomain, listDomains, type DomainInput } from './statements/domains.js'
export {
  activateMasterKey,
  activeKeys,
  getKeyState,
  getMasterKey,
  keyLabelOf,
  listMasterKeys,
  registerMasterKey,
  type ActiveKeys,
  type KeyFilter,
  type KeyRegistration,
} from './statements/master-keys.js'
export { fileStates, type FileStatus } from './statements/file-states.js'
export { getFile, type FileWithObject } from './statements/get-file.js'
export { failureHistory, type FailureHistory } from './statements/failure-history.js'
export { recordRefusal, type RefusalInput } from './statements/record-refusal.js'
export { listFiles, type FileFilter, type ListedFile, type Page } from './statements/list-files.js'
export { traceFile, type FileTrace } from './statements/trace-file.js'
export { conservation, countsByState, type Conservation, type Counts } from './statements/counts.js'
export { batchProgress, createBatch, getBatch, type BatchProgress, type BatchRow } from './statements/batches.js'
export { listFailures } from './statements/failures.js'
export { getDeadLetter, listDeadLetters, type DeadLetterFilter } from './statements/dead-letters.js'
export {
  discardDeadLetter,
  replayDeadLetter,
  type ResolveInput,
  type ResolveOutcome,
  type Unresolvable,
} from './statements/resolve-dead-letter.js'
export { abandonAttempt, listOrphanedAttempts } from './statements/abandon-attempt.js'
export { appendAudit, listAudit, type AuditInput } from './statements/audit.js'
export { forgetWorkers, heartbeat, listWorkers, type Heartbeat, type WorkerRow } from './statements/workers.js'
export {
  clearHsmLatch,
  getHsmLatch,
  listHsmLatches,
  setHsmLatch,
  underLoginLock,
  type HsmLatch,
  type PinName,
} from './statements/hsm-latch.js'
export { fleetPinLatch, type LoginOutcome } from './pin-latch.js'
export { countOpenFiles, listOpenFiles, type OpenFilesPage } from './statements/open-files.js'
export { listLeftovers, markSwept, type KeptObject, type Leftover } from './statements/leftovers.js'
export { attemptOwners, type AttemptOwner } from './statements/attempt-owners.js'
export { listKeptObjects } from './statements/kept-objects.js'
export {
  finishTask,
  listTasks,
  renewTask,
  startTask,
  type MaintenanceTaskRow,
  type TaskLease,
} from './statements/maintenance-tasks.js'
export { forgetRelayed, outboxDepth, relayOutbox, type Deliver, type OutboxDepth } from './statements/outbox.js'
export {
  getRekeyRun,
  listRekeyRuns,
  REKEY_ITEM_STATES,
  type RekeyItemState,
  type RekeyRun,
  type RekeyRunState,
} from './statements/rekey-runs.js'
export { rekeyScope, type RekeyScope } from './statements/rekey-scope.js'
export { assertRekeyable, startRekeyRun, type RekeyRequest } from './statements/start-rekey-run.js'
export { changeRekeyRun, type RekeyChange } from './statements/change-rekey-run.js'
export { retryRekeyItems } from './statements/retry-rekey-items.js'
export { failedRekeyItems, rekeyCounts, type FailedItem, type RekeyCounts } from './statements/rekey-counts.js'
export { seedRekeyItems, type Seeding } from './statements/seed-rekey-items.js'
export { giveRekeyItems, type DueItem, type GiveOptions } from './statements/give-rekey-items.js'
export { claimRekeyItem, type RekeyClaim, type RekeyClaimOutcome } from './statements/claim-rekey-item.js'
export { renewRekeyLease, type RekeyLease } from './statements/renew-rekey-lease.js'
export { openRekeyAttempt, type OpenRekeyAttemptInput } from './statements/open-rekey-attempt.js'
export { commitRekey, type CommitRekeyInput } from './statements/commit-rekey.js'
export { endRekeyItem, type EndRekeyInput } from './statements/end-rekey-item.js'

/** The records of files, attempts, keys and failures in Postgres: one statement a module, typed in and out. */
export * from './terms.js'
export { objectRecord, type ObjectRecord } from './rows/object-record.js'
export { RecordsError, RECORDS_ERROR_CODES, type RecordsErrorCode, type RecordsErrorDetail } from './errors.js'
export { openRecords, type Records, type Queryable } from './records.js'
export type { ConnectionOptions } from './connection.js'
export { migrate, migrationStatus, type MigrateOptions, type MigrationStatus } from './migrate/migrate.js'
export { acceptFile, acceptFiles, ACCEPT_CHUNK, type Acceptance, type FileRequest } from './statements/accept-files.js'
export { claimFile, type ClaimInput, type ClaimOutcome } from './statements/claim-file.js'
export { renewLease, type LeaseInput } from './statements/renew-lease.js'
export { openAttempt, type OpenAttemptInput } from './statements/open-attempt.js'
export { commitAttempt, type CommitInput, type CommitOutcome } from './statements/commit-attempt.js'
export { COMMIT_ACTIONS, commitEventDetail, type CommitAction } from './statements/commit-event.js'
export { tableRights, type TableRights } from './statements/table-rights.js'
export { retryingByCode, type Retrying } from './statements/retrying-files.js'
export { failAttempt, releaseFile, type FailInput } from './statements/fail-attempt.js'
export { ensureDomain, getDomain, listDomains, type DomainInput } from './statements/domains.js'
export { setDomain, type DomainChange } from './statements/set-domain.js'
export { lockDomainForDeletion } from './statements/domain-lock.js'
export { activeHolds, type ActiveHold } from './statements/active-holds.js'
export { placeHold, type HoldInput } from './statements/place-hold.js'
export { releaseHold } from './statements/release-hold.js'
export { getHold, listHolds } from './statements/list-holds.js'
export { removeFile, type RemovalInput, type RemovalOutcome } from './statements/remove-file.js'
export { expireFiles } from './statements/expire-files.js'
export {
  countPastRetention,
  listPastRetention,
  type ExpiredFile,
  type PastRetention,
} from './statements/past-retention.js'
export { keyAges, type KeyAge } from './statements/key-ages.js'
export { countsByDomain, noFiles } from './statements/counts-by-domain.js'
export {
  activateMasterKey,
  activateMasterKeyIn,
  activeKeys,
  addKnownAnswer,
  getKeyState,
  getMasterKey,
  keyLabelOf,
  listMasterKeys,
  registerMasterKey,
  type Activation,
  type ActiveKeys,
  type KeyFilter,
  type KeyRegistration,
} from './statements/master-keys.js'
export { recoverDestruction, type RecoveredDestruction } from './statements/recover-destruction.js'
export { filesBesideDeletions, type FileBesideDeletion } from './statements/files-beside-deletions.js'
export { keysBesideEvents, type KeyBesideEvent } from './statements/keys-beside-events.js'
export { committedUnderKey, type CommittedUnderKey } from './statements/committed-under-key.js'
export { destroyedAmong } from './statements/destroyed-among.js'
export { listPendingKeys } from './statements/pending-keys.js'
export { listLiveWorkers, type KeyReport, type LackedKey, type LiveWorker } from './statements/live-workers.js'
export { fileStates, type FileStatus } from './statements/file-states.js'
export { getFile, type FileWithObject } from './statements/get-file.js'
export { getFleet, rememberTakenOver, type Fleet } from './statements/fleet.js'
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
export { searchAudit, type AuditFilter, type SearchOptions } from './statements/search-audit.js'
export {
  batchHash,
  canonicalJsonText,
  canonicalRow,
  FIRST_PREVIOUS,
  rowsDigest,
  type ChainRow,
} from './audit-canonical.js'
export {
  auditBacklog,
  lastAuditBatch,
  listAuditBatches,
  sealAuditBatch,
  sealedRowCount,
  unsealedAudit,
  type AuditBatchRow,
  type Unsealed,
} from './statements/audit-batches.js'
export { listSealedRows, type SealedRow } from './statements/audit-sealed-rows.js'
export {
  addCheckpoint,
  lastCheckpoint,
  listCheckpoints,
  markCheckpointStored,
  type CheckpointRow,
} from './statements/audit-checkpoints.js'
export { commitsBesideEvents, type CommitBesideEvent } from './statements/commits-beside-events.js'
export { eventsBesideAttempts, type EventBesideAttempt } from './statements/events-beside-attempts.js'
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
export { listLeftovers, type KeptObject, type Leftover, type LeftoverPage } from './statements/leftovers.js'
export { listSuperseded } from './statements/superseded-objects.js'
export { listDeletedObjects, listObjectsOfDeleted } from './statements/deleted-objects.js'
export { markSwept } from './statements/mark-swept.js'
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
export { listWrappedNonces, type WrappedNonces, type WrappedNoncesPage } from './statements/wrapped-nonces.js'
export { rewrapNonces, type Rewrapped } from './statements/rewrap-nonces.js'
export { kekWraps, type KekWraps } from './statements/kek-wraps.js'
export { recoverMasterKey, type KeyRecovery } from './statements/recover-key.js'
export { recoverFile, type FileRecovery, type RecoveredAttempt } from './statements/recover-file.js'
export { hasFilesNotRecovered } from './statements/files-not-recovered.js'
export { retireMasterKey, type RetireInput } from './statements/retire-key.js'
export { allowIdle, lockMasterKey } from './statements/lock-key.js'
export {
  countKeyReferences,
  listKeyReferences,
  standingOfObjects,
  type KeyReference,
  type KeyReferences,
  type ObjectStanding,
} from './statements/key-references.js'
export { holdsOnKey, keepHoldsStill, type KeyHold } from './statements/key-holds.js'
export type { DestructionRow } from './rows/destruction-row.js'
export { scheduleDestruction, type ScheduleInput } from './statements/schedule-destruction.js'
export { listDestructions, type DestructionFilter } from './statements/list-destructions.js'
export { cancelDestruction } from './statements/cancel-destruction.js'
export {
  beginDestruction,
  claimDestruction,
  completeDestruction,
  databaseTime,
  markCopied,
  refuseDestruction,
  signatureEvidence,
  type CompletionInput,
  type SignatureEvidence,
} from './statements/destruction-steps.js'
export {
  addOperator,
  assertEnrollable,
  countOfficers,
  enrolmentDetail,
  FREE_OFFICERS,
  getOperator,
  listOperators,
  revocationDetail,
  revokeOperator,
  type NewOperator,
  type Revocation,
} from './statements/operators.js'
export type { OperatorRow } from './rows/operator-row.js'
export {
  cancelRequest,
  createRequest,
  getRequest,
  listRequests,
  type NewRequest,
  type RequestFilter,
} from './statements/requests.js'
export type { RequestRow, RequestState, SignatureRow } from './rows/request-row.js'
export { addSignature, type SignatureInput } from './statements/add-signature.js'
export { assertUsedRequest, consumeRequest, type ConsumeInput } from './statements/consume-request.js'
export { assertMayRegister } from './statements/may-register.js'
export { usedRequestProblem, type Deed } from './statements/used-request.js'
export { listShredEvents, type ShredEvent } from './statements/shred-events.js'
export { listOperatorEvents, type OperatorEvent } from './statements/operator-events.js'
export { assertSignedDomain, domainDetail } from './requests/signed-domain.js'
export {
  BODY_VERSION,
  bodyOfSignedBytes,
  parseRequestBody,
  requestBody,
  signedBytes,
  type BodyVersion,
  type RequestBody,
  type Subject,
} from './requests/body.js'
export {
  canonicalJson,
  parseCanonicalJson,
  type CanonicalObject,
  type CanonicalValue,
} from './requests/canonical-json.js'
export {
  isRequestKind,
  maySign,
  MOST_SIGNATURES,
  OPERATOR_ROLES,
  REQUEST_KINDS,
  type OperatorRole,
  type RequestKind,
} from './requests/kinds.js'
export { assertPublicKey, PUBLIC_KEY_BYTES, publicKeyObject, rawPublicKey } from './requests/public-key.js'
export { SIGNATURE_BYTES, signatureFits } from './requests/signature.js'
export {
  lockForShredding,
  shredDetail,
  shredFile,
  type ShreddableFile,
  type ShredInput,
} from './statements/shred-file.js'
export {
  currentScrub,
  finishScrub,
  listScrubs,
  nextToScrub,
  recordScrubbed,
  scrubBacklog,
  type ScrubFinding,
  type ScrubRow,
} from './statements/scrubs.js'
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
export { countRekeyItems } from './statements/count-rekey-items.js'
export { failedRekeyItems, rekeyCounts, type FailedItem, type RekeyCounts } from './statements/rekey-counts.js'
export { seedRekeyItems, type Seeding } from './statements/seed-rekey-items.js'
export { giveRekeyItems, type DueItem, type GiveOptions } from './statements/give-rekey-items.js'
export { claimRekeyItem, type RekeyClaim, type RekeyClaimOutcome } from './statements/claim-rekey-item.js'
export { renewRekeyLease, type RekeyLease } from './statements/renew-rekey-lease.js'
export { openRekeyAttempt, type OpenRekeyAttemptInput } from './statements/open-rekey-attempt.js'
export { commitRekey, type CommitRekeyInput } from './statements/commit-rekey.js'
export { endRekeyItem, type EndRekeyInput } from './statements/end-rekey-item.js'
export { sessionReport, type SessionReport } from './statements/session-report.js'
export { OLDEST_POSTGRES } from './schema-version.js'
export type { DatabaseTls } from './connection/url.js'

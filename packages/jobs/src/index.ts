export type { ClassifyContext, Dependency, ExitStatus, Failure, FailureClass, Owner, Policy } from './failures/terms.js'
export { adviceFor, ownAdvice, type Audience } from './failures/advice.js'
export { effectiveUser, isDenied, refusesReading, refusesWriting } from './failures/access.js'
export { FAILURES, FAILURE_CODES, isFailureCode, type FailureCode } from './failures/list.js'
export { JobsError } from './failures/error.js'
export { adviceOf, classify, exitStatusOf, type Classified } from './failures/classify.js'
export {
  BACKOFF_BASE_MS,
  BACKOFF_CAP_MS,
  BACKOFF_TYPE,
  MAX_ATTEMPTS,
  backoff,
  backoffStrategy,
  decide,
  type AttemptHistory,
  type BackoffOptions,
  type Decision,
} from './failures/policy.js'
export {
  DEFAULT_JOB_OPTIONS,
  INGEST_JOB,
  QUEUES,
  QUEUE_NAMES,
  QUEUE_PREFIX,
  queueOptions,
  type QueueName,
} from './queues.js'
export {
  CONTENT_ID_NAMESPACE,
  FOREIGN_ID_NAMESPACE,
  fileIdFor,
  ingestJobId,
  isUuid,
  parseIngestJobId,
  toFileId,
} from './ingest/ids.js'
export { CONTEXT_LIMIT, GENERATION_LIMIT, PATH_LIMIT, ingestJobV1Schema, type IngestJobV1 } from './ingest/schema.js'
export { PAYLOAD_LIMIT, parseIngestJob } from './ingest/parse.js'
export {
  contentFileId,
  decodeContext,
  fingerprintOf,
  ingestJobFor,
  requestFingerprint,
  requestOf,
  type RequestContent,
} from './ingest/request.js'
export {
  assertNoEviction,
  connectProducer,
  createWorkerConnection,
  type ConnectionSettings,
  type ProducerSettings,
} from './redis.js'
export {
  IngestClient,
  openIngestClient,
  type EnqueueManyOptions,
  type OwnedIngestClient,
  type Requests,
} from './client/ingest-client.js'
export {
  batchIdFor,
  enqueueIngest,
  type EnqueueIngestOptions,
  type PgTransaction,
  type PrismaTransaction,
} from './client/enqueue-ingest.js'
export { assertQueuesAreOurs, claimQueues, fleetKey, ownerOfQueues, takeOverQueues, type OwnedQueue } from './fleet.js'
export {
  examine as examineJob,
  findBrokenJobs,
  isDecodeError,
  isOwnKey,
  isWrongType,
  removeBrokenJob,
  type BrokenJob,
} from './broken-jobs.js'
export { findStrayJobs, putBackStrayJobs, type StrayJobs } from './stray-jobs.js'
export { CHUNK_SIZE, deliverJobs, type OpenFile } from './client/deliver.js'
export { createIngestQueue, ingestJobEntry, jobPresence, type IngestQueue, type Presence } from './client/queue.js'
export { queueView, type QueueView } from './client/queue-view.js'
export {
  addRekeyJobs,
  createRekeyQueue,
  liveRekeyJobs,
  parseRekeyJob,
  REKEY_JOB,
  rekeyJobId,
  type RekeyJobV1,
  type RekeyQueue,
} from './rekey/job.js'
export {
  isIngestProgress,
  waitForFiles,
  type IngestProgress,
  type WaitOptions,
  type WaitProgress,
} from './client/wait.js'
export type {
  AcceptOutcome,
  AcceptPort,
  AcceptRequest,
  EnqueueOutcome,
  EnqueueResult,
  FileState,
  FileStatus,
  IngestRequest,
  StatusPort,
} from './client/terms.js'
export { probeRequest, requestProbe } from './probe-request.js'
export { tryQueue, tryWorker } from './queue-trial.js'
export { missingCommands, REDIS_COMMANDS } from './redis-commands.js'

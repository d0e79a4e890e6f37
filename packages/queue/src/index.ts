export {
  type BrokenJob,
  examineJob,
  findBrokenJobs,
  isDecodeError,
  isOwnKey,
  isWrongType,
  removeBrokenJob,
} from './broken-jobs.js'
export { CHUNK_SIZE, type OpenFile, deliverJobs } from './client/deliver.js'
export {
  type EnqueueIngestOptions,
  type PgTransaction,
  type PrismaTransaction,
  batchIdFor,
  enqueueIngest,
} from './client/enqueue-ingest.js'
export {
  type EnqueueManyOptions,
  IngestClient,
  type OwnedIngestClient,
  type Requests,
  openIngestClient,
} from './client/ingest-client.js'
export { type QueueView, queueView } from './client/queue-view.js'
export { FileIds } from './client/file-ids.js'
export { createIngestQueue } from './client/create-queue.js'
export { type IngestQueue, type Presence, ingestJobEntry, jobPresence } from './client/queue.js'
export type {
  AcceptFiles,
  AcceptOutcome,
  AcceptRequest,
  EnqueueOutcome,
  EnqueueResult,
  FileState,
  FileStatus,
  IngestRequest,
  ReadStates,
} from './client/terms.js'
export {
  type IngestProgress,
  type WaitOptions,
  type WaitProgress,
  awaitFiles,
  isIngestProgress,
  waitForFiles,
} from './client/wait.js'
export { type OwnedQueue, assertQueuesAreOurs, claimQueues, fleetKey, ownerOfQueues, takeOverQueues } from './fleet.js'
export {
  CONTENT_ID_NAMESPACE,
  FOREIGN_ID_NAMESPACE,
  fileIdFor,
  ingestJobId,
  isNonNilUuid,
  parseIngestJobId,
  toFileId,
} from './ingest/ids.js'
export { PAYLOAD_LIMIT, parseIngestJob } from './ingest/parse.js'
export {
  type RequestContent,
  contentFileId,
  decodeContext,
  fingerprintOf,
  ingestJobFor,
  requestFingerprint,
  requestOf,
} from './ingest/request.js'
export { CONTEXT_LIMIT, GENERATION_LIMIT, type IngestJobV1, PATH_LIMIT, ingestJobV1Schema } from './ingest/schema.js'
export { probeRequest, requestProbe } from './probe-request.js'
export { tryQueue, tryWorker } from './queue-trial.js'
export {
  DEFAULT_JOB_OPTIONS,
  INGEST_JOB,
  QUEUES,
  QUEUE_NAMES,
  QUEUE_PREFIX,
  type QueueName,
  queueOptions,
} from './queues.js'
export { REDIS_COMMANDS, missingCommands } from './redis-commands.js'
export {
  type ConnectionSettings,
  type ProducerSettings,
  assertNoEviction,
  connectProducer,
  createWorkerConnection,
} from './redis.js'
export {
  REKEY_JOB,
  type RekeyJobV1,
  type RekeyQueue,
  addRekeyJobs,
  createRekeyQueue,
  liveRekeyJobs,
  parseRekeyJob,
  rekeyJobId,
} from './rekey/job.js'
export { type StrayJobs, findStrayJobs, putBackStrayJobs } from './stray-jobs.js'

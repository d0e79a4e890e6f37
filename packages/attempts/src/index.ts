export { ByteBudget } from './byte-budget.js'
export { countIngest, countRekey, rekeyWord } from './count.js'
export { ingest, type IngestDependencies, type OwnedRequest } from './ingest.js'
export type {
  AttemptDependencies,
  AttemptKind,
  AttemptOutcome,
  Claim,
  Failing,
  Plaintext,
  StoredObject,
  Unclaimed,
} from './kind.js'
export { FencedError, LeaseExpiredError } from './lease.js'
export { OtherBuckets } from './other-buckets.js'
export { rekeyItem, rekeyKind, type RekeyDependencies } from './rekey.js'
export { runAttempt, type AttemptOptions } from './run-attempt.js'
export { newObject } from './seal-upload.js'
export { SourceError } from './source/errors.js'
export { rootUnavailable } from './source/open-source.js'
export { noStepHook, REKEY_STEPS, STEPS, type Step, type StepHook } from './steps.js'
export { UnrecordedError, UnrecordedFailures, type Owed } from './unrecorded-failures.js'

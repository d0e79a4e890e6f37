export { effectiveUser, isDenied, refusesReading, refusesWriting } from './access.js'
export { type Audience, adviceFor, ownAdvice } from './advice.js'
export { type Classified, adviceOf, classify } from './classify.js'
export { CodedError } from './coded-error.js'
export { FAILURES, FAILURE_CODES, type FailureCode, isFailureCode } from './list.js'
export {
  type AttemptHistory,
  BACKOFF_CAP_MS,
  BACKOFF_TYPE,
  type BackoffOptions,
  type Decision,
  MAX_ATTEMPTS,
  backoff,
  backoffStrategy,
  decide,
} from './policy.js'
export type { ClassifyContext, Dependency, FailureStatus, Failure, FailureClass, Owner, Policy } from './terms.js'
export { POSTGRES_KINDS, POSTGRES_STATES, PRISMA_CODES } from './foreign/postgres-codes.js'

export { recordsError } from './db/driver-error.js'
export { RecordsError } from './db/errors.js'
export { type Queryable, type Records, openRecords } from './db/records.js'
export {
  type AttemptRow,
  type AuditRow,
  type CommittedAttempt,
  type DeadLetterRow,
  type DeadLetterState,
  type DomainPolicy,
  FILE_STATES,
  type FileRow,
  type FileState,
  type HoldRow,
  type KeyRow,
} from './db/terms.js'
export { migrate, migrationStatus } from './migrate/migrate.js'

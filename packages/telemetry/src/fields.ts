import { safeError } from './safe-error.js'
import { isHarmless } from './scrub.js'

/**
 * The fields a log line may have. Each has a shape, and a value of another shape is dropped: a PIN that ends up in
 * `fileId` by mistake is not logged, and neither is a field that isn't here.
 */
const SHAPES = {
  // identities
  fileId: 'uuid',
  attemptId: 'uuid',
  batchId: 'uuid',
  requestId: 'uuid',
  apiToken: 'uuid',
  runId: 'uuid',
  domain: 'domain',
  jobId: 'jobId',
  queue: 'word',
  generation: 'number',
  attemptNo: 'number',
  worker: 'name',
  component: 'word',
  root: 'word',
  bucket: 'bucket',
  objectKey: 'objectKey',
  variable: 'word',
  version: 'name',
  role: 'word',
  // events
  event: 'word',
  step: 'word',
  state: 'word',
  outcome: 'word',
  action: 'word',
  reason: 'word',
  signal: 'word',
  operation: 'word',
  dependency: 'word',
  hsmToken: 'word',
  breaker: 'word',
  code: 'word',
  class: 'word',
  fn: 'word',
  dryRun: 'boolean',
  ready: 'boolean',
  page: 'boolean',
  // quantities and durations
  bytes: 'number',
  total: 'number',
  count: 'number',
  parts: 'number',
  segments: 'number',
  durationMs: 'number',
  seconds: 'number',
  waitMs: 'number',
  retryInMs: 'number',
  burned: 'number',
  crashes: 'number',
  concurrency: 'number',
  inFlight: 'number',
  waiters: 'number',
  sessions: 'number',
  wanted: 'number',
  limit: 'number',
  agent: 'number',
  pid: 'number',
  port: 'number',
  exitStatus: 'number',
  // actions of maintenance
  lost: 'number',
  requeued: 'number',
  relayed: 'number',
  abandoned: 'number',
  swept: 'number',
  objectsDeleted: 'number',
  bytesDeleted: 'number',
  uploadsAborted: 'number',
  workersForgotten: 'number',
  expired: 'number',
  found: 'number',
  chained: 'number',
  // the head of a checkpoint: collected logs keep it out of the database's reach
  checkpoint: 'number',
  batch: 'number',
  checkpointSha256: 'sha256',
  // keys, by number
  suite: 'number',
  segLog2: 'number',
  encKeyVersion: 'number',
  sigKeyVersion: 'number',
  kekVersion: 'number',
  // numbers of drivers
  ckr: 'number',
  httpStatus: 'number',
  sqlState: 'sqlState',
} as const

type ShapeName = (typeof SHAPES)[keyof typeof SHAPES]
type ValueOf<S extends ShapeName> = S extends 'number' ? number : S extends 'boolean' ? boolean : string

/** Fields that may be logged. `err` takes any thrown value, and logs what `safeError` keeps of it. */
export type LogFields = { readonly [F in keyof typeof SHAPES]?: ValueOf<(typeof SHAPES)[F]> | undefined } & {
  readonly err?: unknown
}

export const LOG_FIELDS: readonly string[] = [...Object.keys(SHAPES), 'err']

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const PATTERNS: Readonly<Record<Exclude<ShapeName, 'number' | 'boolean'>, RegExp>> = {
  uuid: UUID,
  domain: /^(?:default|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/,
  jobId: /^(?:f-[0-9a-f-]{36}-g\d{1,10}|r-[0-9a-f-]{36}-t\d{1,10}|[a-z]{1,16}-[0-9a-f-]{36}|\d{1,16})$/,
  // Codes, states, names of steps: letters with dashes, dots and underscores; few digits, as in S3 or HMAC256.
  word: /^(?!.*\d{5})[A-Za-z][A-Za-z0-9_.-]{0,63}$/,
  name: /^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$/,
  bucket: /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  objectKey: /^(?:default|[0-9a-f-]{36})\/[0-9a-f-]{36}\/[0-9a-f-]{36}$/,
  sha256: /^[0-9a-f]{64}$/,
  sqlState: /^[0-9A-Z]{5}$/,
}

/** The fields that are on the list and have their shape; all others are dropped. Never throws. */
export function allowedFields(fields: LogFields, secrets: readonly string[] = []): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const [name, shape] of Object.entries(SHAPES)) {
    const value: unknown = Object.hasOwn(fields, name) ? fields[name as keyof LogFields] : undefined
    if (fits(value, shape, secrets)) result[name] = value
  }
  if ('err' in fields && fields.err !== undefined) result['err'] = safeError(fields.err, { secrets })
  return result
}

function fits(value: unknown, shape: ShapeName, secrets: readonly string[]): value is string | number | boolean {
  if (shape === 'number') return typeof value === 'number' && Number.isFinite(value)
  if (shape === 'boolean') return typeof value === 'boolean'
  return typeof value === 'string' && PATTERNS[shape].test(value) && isHarmless(value, secrets)
}

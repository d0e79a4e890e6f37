import { defineConcern } from '../concern.js'
import { flag, optional, wholeNumber, withDefault } from '../variable.js'

export interface MaintenanceConfig {
  /** seconds between two looks for jobs that Redis lost; every 15th look reads each open file */
  readonly reconcileSeconds: number
  readonly sweepSeconds: number
  readonly scanSeconds: number
  /** seconds after an attempt's end before any of its remains are deleted from the store */
  readonly sweepGraceSeconds: number
  /** seconds between two looks for due destructions of master keys */
  readonly destroySeconds: number
  /** the shortest wait of a destruction, in seconds */
  readonly destroyMinWaitSeconds: number
  /**
   * seconds between two looks for rows of the audit log that can be chained, and between two checkpoints of the chain
   */
  readonly auditChainSeconds: number
  readonly auditCheckpointSeconds: number
  /** MiB of stored objects that scrubbing reads per second; undefined: no scrubbing */
  readonly scrubMibPerSecond: number | undefined
  /** days of one pass of scrubbing over the whole store */
  readonly scrubEveryDays: number
  /** seconds after an attempt was superseded before its object is deleted */
  readonly supersededGraceSeconds: number
  readonly retentionSeconds: number
  /** whether maintenance deletes files past their retention, or only counts them */
  readonly retentionDelete: boolean
  /** milliseconds between two looks into an empty outbox */
  readonly relayMs: number
  /** port of the maintenance process's own health and metrics; undefined: none */
  readonly healthPort: number | undefined
}

const seconds = (name: `SEALFLEET_${string}`, fallback: string, about: string, min: number) =>
  withDefault(fallback, {
    name,
    description: about,
    expects: `a whole number of seconds from ${min} to 2592000`,
    example: fallback,
    schema: wholeNumber(min, 2_592_000),
  })

const variables = {
  reconcileSeconds: seconds('SEALFLEET_RECONCILE_SECONDS', '60', 'how often maintenance looks for lost jobs', 1),
  sweepSeconds: seconds('SEALFLEET_SWEEP_SECONDS', '600', 'how often maintenance sweeps the store by the records', 1),
  scanSeconds: seconds(
    'SEALFLEET_SCAN_SECONDS',
    '86400',
    'how often maintenance reads the whole listing of the bucket',
    1,
  ),
  sweepGraceSeconds: seconds(
    'SEALFLEET_SWEEP_GRACE_SECONDS',
    '3600',
    'how long an attempt must have been over before anything of it is deleted',
    0,
  ),
  destroySeconds: seconds(
    'SEALFLEET_DESTROY_SECONDS',
    '300',
    'how often maintenance looks for destructions of master keys that are due',
    1,
  ),
  destroyMinWaitSeconds: seconds(
    'SEALFLEET_DESTROY_MIN_WAIT_SECONDS',
    '86400',
    'the shortest time between scheduling the destruction of a master key and carrying it out',
    1,
  ),
  auditChainSeconds: seconds('SEALFLEET_AUDIT_CHAIN_SECONDS', '10', 'how often maintenance chains the audit log', 1),
  auditCheckpointSeconds: seconds(
    'SEALFLEET_AUDIT_CHECKPOINT_SECONDS',
    '3600',
    "how often maintenance signs the audit log's chain; needs the HSM and an audit key",
    1,
  ),
  scrubMibPerSecond: optional({
    name: 'SEALFLEET_SCRUB_MIB_PER_SECOND',
    description:
      'MiB of stored objects that maintenance reads and verifies a second; unset: it does not; needs the HSM',
    expects: 'a whole number of MiB from 1 to 100000',
    example: '20',
    schema: wholeNumber(1, 100_000),
  }),
  scrubEveryDays: withDefault('30', {
    name: 'SEALFLEET_SCRUB_EVERY_DAYS',
    description: 'how often every stored object is verified, once scrubbing is on',
    expects: 'a whole number of days from 1 to 3650',
    example: '30',
    schema: wholeNumber(1, 3650),
  }),
  supersededGraceSeconds: seconds(
    'SEALFLEET_SUPERSEDED_GRACE_SECONDS',
    '86400',
    'how long the old object of a file that was re-encrypted stays for those who read it',
    0,
  ),
  retentionSeconds: seconds(
    'SEALFLEET_RETENTION_SECONDS',
    '3600',
    'how often maintenance looks for files past their retention',
    1,
  ),
  retentionDelete: withDefault('false', {
    name: 'SEALFLEET_RETENTION_DELETE',
    description: 'whether maintenance deletes files past their retention that are under no hold; else it counts them',
    expects: 'true or false',
    example: 'true',
    schema: flag,
  }),
  relayMs: withDefault('500', {
    name: 'SEALFLEET_RELAY_MS',
    description: 'how often an empty outbox is looked into',
    expects: 'a whole number of milliseconds from 10 to 60000',
    example: '500',
    schema: wholeNumber(10, 60_000),
  }),
  healthPort: optional({
    name: 'SEALFLEET_MAINTENANCE_PORT',
    description: "port of maintenance's own /healthz and /metrics on SEALFLEET_OPS_HOST; unset: none; 0: any free one",
    expects: 'a port number from 0 to 65535',
    example: '9465',
    schema: wholeNumber(0, 65_535),
  }),
}

export const maintenance = defineConcern({ variables, build: (values): MaintenanceConfig => values })

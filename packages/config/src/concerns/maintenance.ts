import { defineConcern } from '../concern.js'
import { flag, optional, wholeNumber, withDefault } from '../variable.js'

export interface MaintenanceConfig {
  /** seconds between two looks for jobs that Redis lost; every 15th looks at each open file */
  readonly reconcileSeconds: number
  readonly sweepSeconds: number
  readonly scanSeconds: number
  /** an attempt must have been over for so long before anything of it is deleted from the store */
  readonly sweepGraceSeconds: number
  /** an attempt's place must have been taken by another for so long before its object is deleted */
  readonly supersededGraceSeconds: number
  readonly retentionSeconds: number
  /** whether maintenance deletes what is past its retention, or only counts it */
  readonly retentionDelete: boolean
  /** milliseconds between two looks into an empty outbox */
  readonly relayMs: number
  /** port of the maintenance process's own health and metrics; undefined: none */
  readonly healthPort: number | undefined
}

const seconds = (name: `SEALFLEET_${string}`, fallback: string, about: string, min: number) =>
  withDefault(fallback, {
    name,
    about,
    wants: `a whole number of seconds from ${min} to 2592000`,
    example: fallback,
    schema: wholeNumber(min, 2_592_000),
  })

const variables = {
  reconcileSeconds: seconds('SEALFLEET_RECONCILE_SECONDS', '60', 'how often maintenance looks for lost jobs', 1),
  sweepSeconds: seconds('SEALFLEET_SWEEP_SECONDS', '600', 'how often maintenance sweeps the store by the register', 1),
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
  supersededGraceSeconds: seconds(
    'SEALFLEET_SUPERSEDED_GRACE_SECONDS',
    '86400',
    'how long the old object of a file that was sealed anew stays for those who read it',
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
    about: 'whether maintenance deletes files past their retention that are under no hold; else it counts them',
    wants: 'true or false',
    example: 'true',
    schema: flag,
  }),
  relayMs: withDefault('500', {
    name: 'SEALFLEET_RELAY_MS',
    about: 'how often an empty outbox is looked into',
    wants: 'a whole number of milliseconds from 10 to 60000',
    example: '500',
    schema: wholeNumber(10, 60_000),
  }),
  healthPort: optional({
    name: 'SEALFLEET_MAINTENANCE_PORT',
    about: "port of maintenance's own /healthz and /metrics on SEALFLEET_OPS_HOST; unset: none; 0: any free one",
    wants: 'a port number from 0 to 65535',
    example: '9465',
    schema: wholeNumber(0, 65_535),
  }),
}

export const maintenance = defineConcern({ variables, build: (values): MaintenanceConfig => values })

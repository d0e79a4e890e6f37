import { defineConcern } from '../concern.js'
import { optional, wholeNumber, withDefault } from '../variable.js'

export interface MaintenanceConfig {
  /** seconds between two looks for jobs that Redis lost; every 15th looks at each open file */
  readonly reconcileSeconds: number
  readonly sweepSeconds: number
  readonly scanSeconds: number
  /** an attempt must have been over for so long before anything of it is deleted from the store */
  readonly sweepGraceSeconds: number
  /** seconds between two looks for destructions of master keys that are due */
  readonly destroySeconds: number
  /** a destruction waits so many seconds at least */
  readonly destroyMinWaitSeconds: number
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

import { defineConcern } from '../concern.js'
import { byteSize, optional, wholeNumber, withDefault } from '../variable.js'

export interface WorkerConfig {
  /** jobs at once in one process */
  readonly concurrency: number
  /** stored files re-encrypted at once, beside those; 0: this process re-encrypts none */
  readonly rekeyConcurrency: number
  /** parts of one upload in flight at once */
  readonly partsInFlight: number
  /** bytes of part buffers that all jobs of the process may hold together; a job that doesn't fit waits */
  readonly bytesInFlight: number
  /** duration of a claim, by the database's clock */
  readonly leaseSeconds: number
  readonly leaseRenewSeconds: number
  /** log2 of the segment size of new objects, 16..24 */
  readonly segLog2: number
  /** after SIGTERM, the time until running jobs are cancelled and given back */
  readonly shutdownGraceSeconds: number
  /** a worker without progress for this long, while jobs wait, ends; 0: never */
  readonly watchdogSeconds: number
  /** port of the worker's own health and metrics; undefined: none */
  readonly healthPort: number | undefined
}

const MiB = 2 ** 20

const variables = {
  concurrency: withDefault('8', {
    name: 'SEALFLEET_CONCURRENCY',
    description: 'files one worker process handles at once',
    expects: 'a whole number from 1 to 256',
    example: '8',
    schema: wholeNumber(1, 256),
  }),
  rekeyConcurrency: withDefault('1', {
    name: 'SEALFLEET_REKEY_CONCURRENCY',
    description: 'stored files one worker process re-encrypts at once, beside the files it stores; 0: none',
    expects: 'a whole number from 0 to 64',
    example: '1',
    schema: wholeNumber(0, 64),
  }),
  partsInFlight: withDefault('2', {
    name: 'SEALFLEET_PARTS_IN_FLIGHT',
    description: 'parts of one upload under way at once',
    expects: 'a whole number from 1 to 32',
    example: '2',
    schema: wholeNumber(1, 32),
  }),
  bytesInFlight: withDefault('176MiB', {
    name: 'SEALFLEET_BYTES_IN_FLIGHT',
    description:
      'memory for part buffers of one worker process: 8 files × ((2 parts under way + 1 being filled) × 7 MiB + a segment of 1 MiB)',
    expects: 'a size from 16MiB to 64GiB',
    example: '176MiB',
    schema: byteSize(16 * MiB, 64 * 1024 * MiB),
  }),
  leaseSeconds: withDefault('20', {
    name: 'SEALFLEET_LEASE_SECONDS',
    description: 'how long a claim of a file lasts without renewal: a killed worker’s file waits no longer',
    expects: 'a whole number of seconds from 2 to 3600',
    example: '20',
    schema: wholeNumber(2, 3600),
  }),
  leaseRenewSeconds: withDefault('5', {
    name: 'SEALFLEET_LEASE_RENEW_SECONDS',
    description: 'how often a claim is renewed',
    expects: 'a whole number of seconds from 1 to 1800, at most half of the lease',
    example: '5',
    schema: wholeNumber(1, 1800),
  }),
  segLog2: withDefault('20', {
    name: 'SEALFLEET_SEGMENT_LOG2',
    description: 'log2 of the segment size of new objects (20: 1 MiB)',
    expects: 'a whole number from 16 to 24',
    example: '20',
    schema: wholeNumber(16, 24),
  }),
  shutdownGraceSeconds: withDefault('25', {
    name: 'SEALFLEET_SHUTDOWN_GRACE_SECONDS',
    description: 'after SIGTERM: how long running jobs may take before they are given back',
    expects: 'a whole number of seconds from 0 to 3600',
    example: '25',
    schema: wholeNumber(0, 3600),
  }),
  watchdogSeconds: withDefault('600', {
    name: 'SEALFLEET_WATCHDOG_SECONDS',
    description: 'a worker in which nothing moved for so long, while jobs wait, ends by itself with status 7; 0: never',
    expects: 'a whole number of seconds from 5 to 86400, or 0',
    example: '600',
    schema: wholeNumber(0, 86_400).refine((seconds) => seconds === 0 || seconds >= 5, { error: 'is between 0 and 5' }),
  }),
  healthPort: optional({
    name: 'SEALFLEET_WORKER_PORT',
    description: "port of a worker's own /healthz and /metrics on SEALFLEET_OPS_HOST; unset: none; 0: any free one",
    expects: 'a port number from 0 to 65535',
    example: '9464',
    schema: wholeNumber(0, 65_535),
  }),
}

export const worker = defineConcern({
  variables,
  check: ({ leaseSeconds, leaseRenewSeconds }) =>
    leaseRenewSeconds * 2 <= leaseSeconds
      ? []
      : [
          {
            variable: variables.leaseRenewSeconds.name,
            fault: `is wrong: ${leaseRenewSeconds} is more than half of ${variables.leaseSeconds.name} (${leaseSeconds})`,
            expects: variables.leaseRenewSeconds.expects,
            example: variables.leaseRenewSeconds.example,
          },
        ],
  build: (values): WorkerConfig => values,
})

import type { RegisteredKeys } from '@sealfleet/objects'
import type { IngestClient } from '@sealfleet/queue'
import type { Records } from '@sealfleet/records'
import type { HealthProbe } from '@sealfleet/runtime'
import type { Store } from '@sealfleet/store'
import type { Logger, Metrics } from '@sealfleet/telemetry'
import type { DomainNames } from './domains.js'

/** Everything that handlers work with, opened once for the process. */
export interface Services {
  readonly records: Records
  readonly domains: DomainNames
  readonly keys: RegisteredKeys
  readonly storeOf: (bucket: string) => Promise<Store>
  /** The producer's client; what it accepts is noted in the audit log under `actor`. */
  readonly ingest: (actor: string) => IngestClient
  /** Prometheus text. */
  readonly metricsText: () => Promise<string>
  readonly probes: readonly HealthProbe[]
  /** False from the moment the process was asked to stop. */
  readonly accepting: () => boolean
  readonly limits: Limits
  readonly log: Logger
  readonly metrics: Metrics
}

export interface Limits {
  readonly bodyLimit: number
  readonly requestsPerSecond: number
  readonly bytesPerSecond: number
  readonly readsAtOnce: number
  readonly stallMs: number
}

import type { QueueView } from '@sealfleet/queue'
import type { Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'
import type { Logger, Metrics } from '@sealfleet/telemetry'

import type { MaintenanceHsm } from '../hsm.js'

/** What the tasks of a maintenance process work with. */
export interface TaskPorts {
  readonly records: Records
  readonly store: Store
  readonly jobs: QueueView
  /** For the audit log. */
  readonly actor: string
  /** Undefined when no HSM is configured: this process then has no tasks that need one. */
  readonly hsm?: MaintenanceHsm | undefined
  readonly metrics: Metrics
  readonly log: Logger
}

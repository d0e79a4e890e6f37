import type { KeyRow } from '@sealfleet/records'

import type { KeyStep } from '@sealfleet/keys'

/** The steps for one role, and the rows of its versions as they were when the steps were planned. */
export interface RolePlan {
  readonly steps: readonly KeyStep[]
  readonly rows: readonly KeyRow[]
}

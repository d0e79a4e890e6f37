import type { MaintenanceConfig } from '@sealfleet/config'
import { allTokens } from '@sealfleet/hsm'
import { classify } from '@sealfleet/failures'
import { carryOutDue } from '@sealfleet/keys'
import type { RecurringName, Task } from '@sealfleet/maintenance'
import { fleetPinLockout } from '@sealfleet/records/keys'

import type { MaintenanceHsm } from '../hsm.js'
import type { TaskPorts } from './task-ports.js'

/**
 * Destroys due master keys in every token and copies the signed records to the store. A refusal is a finding: the key
 * was to be destroyed and was not.
 */
export function destroyTask(
  { records, store, actor }: Pick<TaskPorts, 'records' | 'store' | 'actor'>,
  { pool, tokens }: MaintenanceHsm,
  { destroySeconds }: MaintenanceConfig,
): Task<RecurringName> {
  const house = allTokens(tokens, pool, { lockout: fleetPinLockout(records, actor) })
  return {
    name: 'destroy',
    everySeconds: destroySeconds,
    run: async (signal) => {
      const codeOf = (error: unknown) => classify(error).code
      const report = await carryOutDue({ records, store, tokens: house }, { actor, codeOf, signal })
      return { report, found: report.found > 0 }
    },
  }
}

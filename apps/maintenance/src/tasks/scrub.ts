import type { MaintenanceConfig } from '@sealfleet/config'
import { classify } from '@sealfleet/failures'
import { scrub, type RecurringName, type Task } from '@sealfleet/maintenance'

import type { TaskPorts } from './task-ports.js'

const MIB = 2 ** 20

/**
 * Verifies every stored object in turn, at a set rate. Only a task when a rate is set and there is an HSM. It checks
 * each minute whether a pass is due or unfinished.
 */
export function scrubTasks(
  { records, store, hsm, log }: Pick<TaskPorts, 'records' | 'store' | 'hsm' | 'log'>,
  { scrubMibPerSecond, scrubEveryDays }: Pick<MaintenanceConfig, 'scrubMibPerSecond' | 'scrubEveryDays'>,
): readonly Task<RecurringName>[] {
  if (scrubMibPerSecond === undefined || hsm === undefined) return []
  return [
    {
      name: 'scrub',
      everySeconds: 60,
      run: async (signal) => {
        const pass = await scrub(
          { records, store, hsm: hsm.pool, faultOf },
          {
            bytesPerSecond: scrubMibPerSecond * MIB,
            everyDays: scrubEveryDays,
            signal,
            onObject: ({ finding }) => {
              if (finding === undefined) return
              const { fileId, attemptId, code } = finding
              log.error({ component: 'scrub', fileId, attemptId, code }, 'a stored object did not verify')
            },
          },
        )
        const failed = pass?.failed ?? 0
        return { report: pass === null ? {} : { ...pass, found: failed }, found: failed > 0 }
      },
    },
  ]
}

/** Codes for wrong bytes, keys or records; an outage says nothing about the object. */
function faultOf(error: unknown): string | undefined {
  const { code, failure } = classify(error)
  return failure.class === 'integrity' || failure.class === 'permanent-request' ? code : undefined
}

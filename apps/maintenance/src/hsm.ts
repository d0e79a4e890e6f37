import { hsmTokens, type Config, type Sections } from '@sealfleet/config'
import type { HsmPool, TokenOptions } from '@sealfleet/hsm'
import { adviceOf, classify } from '@sealfleet/failures'
import { fleetPinLockout } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import type { Logger, Metrics } from '@sealfleet/telemetry'

import { hsmObserver, openHsmPool } from '@sealfleet/runtime'

/** The HSM of a maintenance process. */
export interface MaintenanceHsm {
  readonly pool: HsmPool
  /** Every token that holds the keys, the primary first: for key administration, which has connections of its own. */
  readonly tokens: readonly TokenOptions[]
}

export interface HsmPorts {
  readonly records: Records
  readonly log: Logger
  readonly metrics: Metrics
  /** Names this process in the lockout. */
  readonly id: string
}

/** Sessions of its agent: maintenance makes a handful of calls a minute. */
export const MAINTENANCE_SESSIONS = 2

/**
 * Opens the HSM for maintenance when one is configured, with one agent. Resolves even while no token can be reached:
 * the pool keeps trying, and tasks that need it fail with HSM_UNAVAILABLE until then. Undefined, with a log line, when
 * none is configured, or when module or PIN are refused: outbox and lost jobs must not wait for that repair.
 */
export async function openMaintenanceHsm(
  config: Pick<Config, 'passthroughEnv' | 'protection'> & Partial<Pick<Sections, 'hsm'>>,
  ports: HsmPorts,
): Promise<MaintenanceHsm | undefined> {
  const { hsm, passthroughEnv, protection } = config
  const { records, log, metrics, id } = ports
  if (hsm === undefined) {
    log.warn(
      { component: 'hsm' },
      'no HSM is configured here: tasks that need a key are left to processes that have one',
    )
    return undefined
  }
  const configured = { hsm, passthroughEnv, protection }
  try {
    const pool = await openHsmPool(configured, {
      agents: 1,
      sessions: MAINTENANCE_SESSIONS,
      startWithoutToken: true,
      // The fleet's PIN lockout: a PIN that was rejected for one process is not tried by another.
      lockout: fleetPinLockout(records, id),
      onEvent: hsmObserver(metrics, log),
    })
    return { pool, tokens: hsmTokens(configured) }
  } catch (error) {
    const found = classify(error)
    const { code } = found
    if (code !== 'HSM_ACCESS_DENIED') throw error
    log.error({ component: 'hsm', code, err: error }, `maintenance continues without the HSM: ${adviceOf(found)}`)
    return undefined
  }
}

/** For the records of processes: whether the HSM can be used now, and if not, why. */
export function hsmStateOf(
  configured: boolean,
  hsm: MaintenanceHsm | undefined,
): 'none' | 'refused' | 'ready' | 'unavailable' {
  if (hsm === undefined) return configured ? 'refused' : 'none'
  return hsm.pool.health().agents.some(({ state }) => state === 'ready') ? 'ready' : 'unavailable'
}

import { hsmTokens, type Config } from '@sealfleet/config'
import { openKeyAdmin, type HsmPool, type KeyAdmin, type PinLockout } from '@sealfleet/hsm'
import { fleetPinLockout } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import { openHsmPool } from '@sealfleet/runtime'
import type { CommandContext } from '../context.js'

/**
 * The fleet's PIN lockout, for every command with the database: a command does not try a PIN that was rejected for a
 * worker, and the other way round. An operator's own PIN needs its own SEALFLEET_PKCS11_PIN_ID, or a typing error locks
 * out the workers' PIN.
 */
export function fleetLockout(context: CommandContext, records: Records): PinLockout {
  return fleetPinLockout(records, `cli:${context.io.user}`)
}

/**
 * One agent for each token, with a few sessions: a command reads one object, or eight at a time. A secondary is used
 * when the primary cannot answer, for keys whose check value is known. Without one a rejected PIN is tried once per
 * command.
 */
export function openPool(config: Config<'hsm'>, lockout?: PinLockout): Promise<HsmPool> {
  return openHsmPool(config, {
    agents: 1,
    sessions: Math.min(8, config.hsm.sessions),
    ...(lockout === undefined ? {} : { lockout }),
  })
}

/** Key administration of the primary: its own process and read-write session, only for key and doctor commands. */
export function openAdmin(config: Config<'hsm'>, lockout?: PinLockout): Promise<KeyAdmin> {
  return openKeyAdmin(hsmTokens(config)[0], lockout === undefined ? {} : { lockout })
}

import { hsmTokens, type Config } from '@sealfleet/config'
import { HsmPool, openKeyAdmin, type KeyAdmin, type PinLockout } from '@sealfleet/hsm'
import { fleetPinLockout } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import type { CommandContext } from '../context.js'

/**
 * The fleet's latch, for every verb that has the database: a PIN that a worker had rejected is not tried by a command, nor the
 * other way round. An operator's own PIN wants a SEALFLEET_PKCS11_PIN_ID of its own, or a slip of the hand latches the workers'.
 */
export function fleetLatch(context: CommandContext, records: Records): PinLockout {
  return fleetPinLockout(records, `cli:${context.io.user}`)
}

/**
 * One agent for each token, with a few sessions: a command reads one object, or eight side by side. A secondary is asked
 * when the primary can't answer, for keys whose check value is known. Without a latch a rejected PIN is tried once a command.
 */
export function openPool(config: Config<'hsm'>, latch?: PinLockout): Promise<HsmPool> {
  return HsmPool.open({
    tokens: hsmTokens(config),
    agents: 1,
    sessions: Math.min(8, config.hsm.sessions),
    softTimeoutMs: config.hsm.softTimeoutMs,
    hardTimeoutMs: config.hsm.hardTimeoutMs,
    ...(latch === undefined ? {} : { latch }),
  })
}

/** Key administration: its own process and read-write session, for key and doctor verbs alone, and of the primary alone. */
export function openAdmin(config: Config<'hsm'>, latch?: PinLockout): Promise<KeyAdmin> {
  return openKeyAdmin(hsmTokens(config)[0], latch === undefined ? {} : { latch })
}

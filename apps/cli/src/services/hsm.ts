import { hsmTokens, type Config } from '@sealfleet/config'
import { HsmPool, openKeyAdmin, type KeyAdmin, type PinLatch } from '@sealfleet/hsm'

/**
 * One agent for each token, with a few sessions: a command reads one object, or eight side by side. A secondary is asked
 * when the primary can't answer, for keys whose check value is known.
 */
export function openPool(config: Config<'hsm'>): Promise<HsmPool> {
  return HsmPool.open({
    tokens: hsmTokens(config),
    agents: 1,
    sessions: Math.min(8, config.hsm.sessions),
    softTimeoutMs: config.hsm.softTimeoutMs,
    hardTimeoutMs: config.hsm.hardTimeoutMs,
  })
}

/** Key administration: its own process and read-write session, for key and doctor verbs alone, and of the primary alone. */
export function openAdmin(config: Config<'hsm'>, latch?: PinLatch): Promise<KeyAdmin> {
  return openKeyAdmin(hsmTokens(config)[0], latch === undefined ? {} : { latch })
}

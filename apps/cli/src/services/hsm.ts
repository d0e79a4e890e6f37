import type { Config } from '@sealfleet/config'
import { HsmPool, openKeyAdmin, type KeyAdmin, type PinLatch, type TokenOptions } from '@sealfleet/hsm'

/** The token of the configuration, for a pool or for key administration. */
export function tokenOptions({ hsm, passthroughEnv }: Config<'hsm'>): TokenOptions {
  const { pin } = hsm
  return {
    module: hsm.module,
    token: hsm.token,
    pin: pin.kind === 'file' ? pin : { kind: 'value', value: pin.value.bytes() },
    pinId: hsm.pinId,
    env: passthroughEnv,
  }
}

/** One agent with a few sessions: a command reads one object, or eight side by side. */
export function openPool(config: Config<'hsm'>): Promise<HsmPool> {
  return HsmPool.open({
    tokens: [tokenOptions(config)],
    agents: 1,
    sessions: Math.min(8, config.hsm.sessions),
    softTimeoutMs: config.hsm.softTimeoutMs,
    hardTimeoutMs: config.hsm.hardTimeoutMs,
  })
}

/** Key administration: its own process and read-write session, for `keys init` and `keys check` alone. */
export function openAdmin(config: Config<'hsm'>, latch?: PinLatch): Promise<KeyAdmin> {
  return openKeyAdmin(tokenOptions(config), latch === undefined ? {} : { latch })
}

import type { HsmConfig } from './concerns/hsm.js'
import type { ProtectionConfig } from './concerns/protection.js'

/** One token in the form of `@sealfleet/hsm` (its TokenOptions). */
export interface ConfiguredToken {
  readonly module: string
  readonly token: string
  readonly serial?: string
  readonly pin:
    | { readonly kind: 'file'; readonly path: string; readonly sharedFolders: readonly string[] }
    | { readonly kind: 'value'; readonly value: Uint8Array }
  readonly pinId: string
  readonly env: Readonly<Record<string, string>>
}

/** The tokens of a configuration in order of preference: the primary, then the secondaries. */
export function hsmTokens(config: {
  readonly hsm: HsmConfig
  readonly protection: Pick<ProtectionConfig, 'secretFolders'>
  readonly passthroughEnv: Readonly<Record<string, string>>
}): readonly [ConfiguredToken, ...ConfiguredToken[]] {
  const { hsm, passthroughEnv } = config
  const sharedFolders = config.protection.secretFolders
  const { module, token, pin, pinId } = hsm
  const primary: ConfiguredToken = {
    module,
    token,
    ...serialOf(hsm),
    pin: pin.kind === 'file' ? { ...pin, sharedFolders } : { kind: 'value', value: pin.value.bytes() },
    pinId,
    env: passthroughEnv,
  }
  const secondaries = hsm.secondaries.map((secondary): ConfiguredToken => ({
    module: secondary.module ?? module,
    token: secondary.token,
    ...serialOf(secondary),
    pin: { kind: 'file', path: secondary.pinFile, sharedFolders },
    pinId: secondary.pinId,
    env: { ...passthroughEnv, ...secondary.env },
  }))
  return [primary, ...secondaries]
}

function serialOf({ serial }: { readonly serial: string | undefined }): { readonly serial?: string } {
  return serial === undefined ? {} : { serial }
}

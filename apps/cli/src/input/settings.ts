import { ConfigError, findEnvFile, loadConfig, type Config, type Need } from '@sealfleet/config'
import { selectKernel } from '@sealfleet/kernel'
import type { Io } from '../io.js'

/** Reads the sections that a command needs; other sections may be missing or wrong. */
export interface Settings {
  /** the file that they come from besides the environment */
  readonly configFile: string | undefined
  load<N extends Need>(needs: readonly N[], overrides?: Readonly<Record<string, string>>): Config<N>
}

/**
 * Where settings come from: the environment, and the file of `--config`; when neither says anything of Sealfleet, the
 * nearest `.sealfleet/env` upward of the working folder. Throws ConfigError for an env file that others could write.
 */
export function createSettings(io: Io, configFile: string | undefined, onWarning: (text: string) => void): Settings {
  const [said] = Object.keys(io.env).filter((name) => name.startsWith('SEALFLEET_'))
  const file = configFile ?? io.env['SEALFLEET_CONFIG'] ?? (said === undefined ? findEnvFile(io.cwd) : undefined)
  const seen = new Set<string>()
  return {
    configFile: file,
    load(needs, overrides = {}) {
      const { SEALFLEET_CONFIG: _own, ...env } = io.env
      let config
      try {
        config = loadConfig({ ...env, ...overrides }, { needs, configFile: file })
      } catch (error) {
        const other = file === undefined && error instanceof ConfigError ? passedOver(io.cwd) : undefined
        if (other) onWarning(`${other} was not read, since the environment has ${said}: --config ${other} reads both`)
        throw error
      }
      for (const warning of config.warnings) {
        if (!seen.has(warning)) onWarning(warning)
        seen.add(warning)
      }
      selectKernel(config.kernel.choice, { onWarning })
      return config
    },
  }
}

/** The env file of the folder, for a hint; not one that would be refused. */
function passedOver(cwd: string): string | undefined {
  try {
    return findEnvFile(cwd)
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}

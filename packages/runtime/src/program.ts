import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'

import { ConfigError, findEnvFile, loadConfig, type Config, type Need, type Sections } from '@sealfleet/config'
import { adviceOf, classify } from '@sealfleet/failures'
import { selectKernel } from '@sealfleet/kernel'
import { createLogger, createMetrics, type Logger, type Metrics } from '@sealfleet/telemetry'

import { compileOnce } from './compile-once.js'
import { handleSignals } from './signals.js'

export interface Program<N extends Need, O extends Need = never> {
  /** In logs and metrics. */
  readonly name: string
  readonly needs: readonly N[]
  /** Sections that are used if they are configured. */
  readonly optional?: readonly O[]
  readonly help: string
  /** Opens everything and starts. An error of it ends the program with the exit status of its code. */
  readonly start: (options: {
    readonly config: Config<N> & Partial<Pick<Sections, O>>
    readonly log: Logger
    readonly metrics: Metrics
    /** The name of this process, here and in the records. */
    readonly id: string
  }) => Promise<Started>
}

export interface Started {
  stop(): Promise<void>
  /** Resolves with an exit status when the program must end at once, without closing anything. Never rejects. */
  readonly lost?: Promise<number>
}

/**
 * The composition root of this app's programs: the only place that reads the process's environment, arguments and
 * signals. Resolves with the exit status.
 */
export async function runProgram<N extends Need, O extends Need = never>(program: Program<N, O>): Promise<number> {
  const { name, needs, optional = [], help, start } = program
  const argument = process.argv[2]
  if (argument === '--help' || argument === '-h') {
    process.stdout.write(help)
    return 0
  }
  // Node 20 is supported here on purpose (README); the SDK's notice about its own plans would only repeat in every log.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  compileOnce()
  let config
  try {
    const configFile =
      argument === '--config' ? process.argv[3] : (process.env['SEALFLEET_CONFIG'] ?? fallback(process.env))
    config = loadConfig(process.env, { needs, optional, configFile })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    return 2
  }
  const log = createLogger({ name, level: config.log.level, secrets: secretsOf(config) })
  for (const warning of config.warnings) log.warn(warning)
  selectKernel(config.kernel.choice, { onWarning: (warning) => log.warn(warning) })
  const id = `${hostname().slice(0, 40)}-${process.pid}-${randomBytes(3).toString('hex')}`
  const metrics = createMetrics({ defaultLabels: { program: name } })
  // From now on handled here: a signal during the start must not end the program without closing anything.
  const stop = new Promise<NodeJS.Signals>((resolve) => {
    // A second signal ends the process at once. Nothing is lost; leases run out and other workers take over.
    handleSignals(process, { onFirst: resolve, onSecond: () => process.exit(1) })
  })
  try {
    const running = await start({ config, log, metrics, id })
    const reason = await Promise.race([stop, ...(running.lost === undefined ? [] : [running.lost])])
    // An orderly close could be the part that hangs. Leases and locks run out, and other workers take over.
    if (typeof reason === 'number') process.exit(reason)
    log.info({ signal: reason }, 'asked to stop')
    await running.stop()
    log.info('stopped')
    return 0
  } catch (error) {
    const found = classify(error)
    log.fatal({ code: found.code, err: error }, `the ${name} cannot continue: ${adviceOf(found)}`)
    return found.failure.exitStatus
  }
}

/** Values that must never appear in a log line. */
function secretsOf({ database, redis, s3, hsm }: Partial<Config>): readonly string[] {
  const pin = hsm?.pin
  return [database?.url, redis?.url, s3?.secretAccessKey, ...(pin?.kind === 'value' ? [pin.value] : [])].flatMap(
    (secret) => (secret === undefined ? [] : [secret.reveal()]),
  )
}

function fallback(env: NodeJS.ProcessEnv): string | undefined {
  return Object.keys(env).some((name) => name.startsWith('SEALFLEET_')) ? undefined : findEnvFile(process.cwd())
}

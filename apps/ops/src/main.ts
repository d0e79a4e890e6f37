import { ConfigError, findEnvFile, loadConfig } from '@sealfleet/config'
import { adviceOf, classify } from '@sealfleet/failures'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { runOps } from './run.js'

/** The composition root: the only place of this app that reads the process's environment, arguments and signals. */
async function main(): Promise<number> {
  const [first, second] = process.argv.slice(2)
  if (first === '--help' || first === '-h') {
    process.stdout.write(HELP)
    return 0
  }
  let config
  try {
    const configFile = first === '--config' ? second : (process.env['SEALFLEET_CONFIG'] ?? fallback(process.env))
    config = loadConfig(process.env, { needs: ['database', 'redis', 'ops'], configFile })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    return 2
  }
  const secrets = [config.database.url.reveal(), config.redis.url.reveal()]
  const log = createLogger({ name: 'ops', level: config.log.level, secrets })
  for (const warning of config.warnings) log.warn(warning)
  try {
    const ops = await runOps({ config, log, metrics: createMetrics({ defaultLabels: { program: 'ops' } }) })
    log.info({ port: ops.port }, 'listening')
    process.stdout.write(`${url(ops.host, ops.port)}\n`)
    const signal = await nextSignal()
    log.info({ signal }, 'asked to stop')
    // A second signal means: now.
    void nextSignal().then(() => process.exit(1))
    await ops.close()
    log.info('stopped')
    return 0
  } catch (error) {
    const found = classify(error)
    log.fatal({ code: found.code, err: error }, `ops cannot continue: ${adviceOf(found)}`)
    return found.failure.exitStatus
  }
}

function url(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}/`
}

function fallback(env: NodeJS.ProcessEnv): string | undefined {
  return Object.keys(env).some((name) => name.startsWith('SEALFLEET_')) ? undefined : findEnvFile(process.cwd())
}

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const done = (signal: NodeJS.Signals): void => {
      process.off('SIGTERM', done)
      process.off('SIGINT', done)
      resolve(signal)
    }
    process.on('SIGTERM', done)
    process.on('SIGINT', done)
  })
}

const HELP = `Usage: node bundle/ops.mjs [--config FILE]

The dashboard: Bull Board over all queues (read-only) at /queues/, /healthz, /readyz and /metrics, on
SEALFLEET_OPS_HOST:SEALFLEET_OPS_PORT (127.0.0.1:3900). Configuration is SEALFLEET_* variables of the environment, or a
file of them (--config); without either, .sealfleet/env of this folder or one above. It asks for no password: put a
proxy that does in front before it listens on any other address. SIGTERM or SIGINT: finish requests, exit 0.
`

process.exitCode = await main()

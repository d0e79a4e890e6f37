import { hostname } from 'node:os'
import { randomBytes } from 'node:crypto'

import { ConfigError, findEnvFile, loadConfig } from '@sealfleet/config'
import { classify } from '@sealfleet/jobs'
import { createLogger, createMetrics } from '@sealfleet/telemetry'

import { keepSmall } from './memory.js'
import { runWorker } from './run.js'
import { nextSignal } from './signals.js'

/** The composition root: the only place of this app that reads the process's environment, arguments and signals. */
async function main(): Promise<number> {
  const argument = process.argv[2]
  if (argument === '--help' || argument === '-h') {
    process.stdout.write(HELP)
    return 0
  }
  let config
  try {
    const configFile =
      argument === '--config' ? process.argv[3] : (process.env['SEALFLEET_CONFIG'] ?? fallback(process.env))
    config = loadConfig(process.env, {
      needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'],
      configFile,
    })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    return 2
  }
  const { pin } = config.hsm
  const secrets = [
    config.database.url,
    config.redis.url,
    config.s3.secretAccessKey,
    ...(pin.kind === 'value' ? [pin.value] : []),
  ].map((secret) => secret.reveal())
  const log = createLogger({ name: 'worker', level: config.log.level, secrets })
  for (const warning of config.warnings) log.warn(warning)
  const workerId = `${hostname().slice(0, 40)}-${process.pid}-${randomBytes(3).toString('hex')}`
  const metrics = createMetrics({ defaultLabels: { program: 'worker' } })
  // Heard from now on: a signal that comes while the worker starts must not cut it off without closing anything.
  const stop = nextSignal(process)
  try {
    await using running = await runWorker({ config, log, metrics, workerId })
    log.info({ signal: await stop }, 'asked to stop')
    // A second signal means: now. Nothing is lost by it; leases run out and other workers take over.
    void nextSignal(process).then(() => process.exit(1))
    await running.stop()
    log.info('stopped')
    return 0
  } catch (error) {
    const { code, failure } = classify(error)
    log.fatal({ code, err: error }, `the worker can not go on: ${failure.fix}`)
    return failure.exitStatus
  }
}

function fallback(env: NodeJS.ProcessEnv): string | undefined {
  return Object.keys(env).some((name) => name.startsWith('SEALFLEET_')) ? undefined : findEnvFile(process.cwd())
}

const HELP = `Usage: node apps/worker/dist/main.js [--config FILE]

A Sealfleet worker: takes files from the ingest queue, seals them under keys from the HSM and keeps them in S3.
Configuration is SEALFLEET_* variables of the environment, or a file of them (--config); without either,
.sealfleet/env of this folder or one above. See packages/config/README.md.

SIGTERM or SIGINT: finish what runs within SEALFLEET_SHUTDOWN_GRACE_SECONDS, give the rest back, exit 0.
A second signal: exit at once.
`

// Node 20 is supported here on purpose (README); the SDK's notice about its own plans would only repeat in every log.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
keepSmall()
process.exitCode = await main()

/**
 * A real worker process that can be told, over IPC, to kill itself when it next passes a named point of an attempt. It
 * first asks its parent for permission, so that the parent knows the exact moment of the death.
 */
import { loadConfig } from '@sealfleet/config'
import { classify } from '@sealfleet/failures'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { handleSignals } from '@sealfleet/runtime/signals'
import { runWorker } from '../../apps/worker/dist/run.js'

const workerId = process.argv[2] ?? `chaos-${process.pid}`
const config = loadConfig(process.env, { needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'] })
const log = createLogger({ name: workerId, level: 'info' })
const stop = new Promise((resolve) => {
  handleSignals(process, { onFirst: resolve, onSecond: () => process.exit(1) })
})

/** @type {string | undefined} */
let doomedAt
process.on('message', (/** @type {{ killAt?: string }} */ message) => {
  if (message.killAt !== undefined) doomedAt = message.killAt
})
// This process must not outlive the one that started it.
process.on('disconnect', () => process.exit(1))

try {
  const running = await runWorker({
    config,
    log,
    metrics: createMetrics({ processMetrics: false }),
    workerId,
    step: (step, when) => {
      if (`${when}:${step}` !== doomedAt) return
      process.kill(process.pid, 'SIGKILL')
      // The signal may take a moment; no code may run during it.
      return new Promise(() => undefined)
    },
  })
  process.send?.({ ready: true })
  log.info({ signal: await stop }, 'asked to stop')
  await running.stop()
  process.exitCode = 0
} catch (error) {
  const { code, failure } = classify(error)
  log.fatal({ code, err: error }, 'the worker cannot continue')
  process.exitCode = failure.exitStatus
}
process.disconnect?.()

// A real worker process that sends itself a signal, once, at one point of an attempt: `SIGKILL before:STEP`, `SIGSTOP after:STEP`.
import { loadConfig } from '@sealfleet/config'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { runWorker } from '../dist/run.js'
import { nextSignal } from '../dist/signals.js'

const [signal, point] = process.argv.slice(2)
const config = loadConfig(process.env, { needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'] })
let done = false
const stop = nextSignal(process)
const running = await runWorker({
  config,
  log: createLogger({ name: 'worker', level: 'info' }),
  metrics: createMetrics({ processMetrics: false }),
  workerId: `doomed-${process.pid}`,
  step: (step, when) => {
    if (done || `${when}:${step}` !== point) return
    done = true
    process.kill(process.pid, signal)
  },
})
await stop
await running.stop()

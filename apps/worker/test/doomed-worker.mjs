// A real worker process to which something happens, once, at one point of an attempt: it sends itself a signal
// (`SIGKILL before:STEP`, `SIGSTOP after:STEP`), or that step never ends (`hang before:STEP`).
import { loadConfig } from '@sealfleet/config'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { runWorker } from '../dist/run.js'
import { handleSignals } from '@sealfleet/runtime/signals'

const [signal, point] = process.argv.slice(2)
const config = loadConfig(process.env, { needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'] })
let done = false
const stop = new Promise((resolve) => {
  handleSignals(process, { onFirst: resolve, onSecond: () => process.exit(1) })
})
const running = await runWorker({
  config,
  log: createLogger({ name: 'worker', level: 'info' }),
  metrics: createMetrics({ processMetrics: false }),
  workerId: `doomed-${process.pid}`,
  step: (step, when) => {
    if (done || `${when}:${step}` !== point) return undefined
    done = true
    if (signal === 'hang') return new Promise(() => undefined)
    process.kill(process.pid, signal)
    return undefined
  },
})
const reason = await Promise.race([stop, running.lost])
if (typeof reason === 'number') process.exit(reason)
await running.stop()

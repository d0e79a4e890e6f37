// A real worker process that kills itself with SIGKILL at one point of an attempt: `before:STEP` or `after:STEP`.
import { loadConfig } from '@sealfleet/config'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { runWorker } from '../dist/run.js'

const point = process.argv[2]
const config = loadConfig(process.env, { needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'] })
const running = await runWorker({
  config,
  log: createLogger({ name: 'worker', level: 'warn' }),
  metrics: createMetrics({ processMetrics: false }),
  workerId: `doomed-${process.pid}`,
  agentEnv: process.env,
  step: (step, when) => {
    if (`${when}:${step}` === point) process.kill(process.pid, 'SIGKILL')
  },
})
await running.untilSignal(process)

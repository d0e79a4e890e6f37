import { randomUUID } from 'node:crypto'

import { loadConfig } from '@sealfleet/config'
import { createLogger, createMetrics } from '@sealfleet/telemetry'

import { runMaintenance } from '../../../maintenance/dist/run.js'
import { runWorker } from '../../../worker/dist/run.js'

type Variables = Readonly<Record<string, string>>

/** What every started program is given: nothing of it is written anywhere. */
function surroundings(name: string) {
  return {
    log: createLogger({ name, level: 'fatal', destination: { write: () => undefined } }),
    metrics: createMetrics({ processMetrics: false }),
  }
}

/**
 * A worker in this process, as its own program would run it with these variables; resolves when it takes jobs. Loading Node
 * and the clients again for each would cost more than most tests do.
 */
export function workerHere(env: Variables): Promise<AsyncDisposable> {
  const loaded = loadConfig(env, { needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'] })
  // What a process of its own would inherit, such as the fault module's settings.
  const inherited = Object.entries(env).filter(([name]) => !name.startsWith('SEALFLEET_'))
  const config = { ...loaded, passthroughEnv: { ...loaded.passthroughEnv, ...Object.fromEntries(inherited) } }
  return runWorker({ config, ...surroundings('worker'), workerId: `test-${randomUUID().slice(0, 8)}` })
}

/** Maintenance in this process; resolves when its tasks run. */
export function maintenanceHere(env: Variables): Promise<AsyncDisposable> {
  const config = loadConfig(env, { needs: ['database', 'redis', 's3', 'maintenance', 'ops'], optional: ['hsm'] })
  return runMaintenance({ config, ...surroundings('maintenance'), id: `test-${randomUUID().slice(0, 8)}` })
}

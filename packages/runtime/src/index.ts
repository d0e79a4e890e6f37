export { inBatches } from './batches.js'
export { forEachConcurrent } from './concurrent.js'
export { AsyncDisposableStack } from './disposable-stack.js'
export { startHeartbeat } from './heartbeat.js'
export { hsmObserver } from './hsm-events.js'
export { setHsmStates } from './hsm-states.js'
export { listen } from './listen.js'
export { type Probe, hsmProbe, redisProbe, trackLastUsedKey, storeProbe, storeTakesObjects } from './probes.js'
export {
  openConfiguredRecords,
  openConfiguredStore,
  openHsmPool,
  openQueueRedis,
  openRedis,
  type RedisSettings,
  storeOptions,
  workerRedis,
} from './open.js'
export { type HealthProbe, type Readiness, readiness } from './readiness.js'
export { outageReporter, repeat } from './repeat.js'
export { runProgram } from './program.js'
export { LastResults, startRounds } from './rounds.js'
export { startStatusServer } from './status-server.js'
export { unlessAborted } from '@sealfleet/format'

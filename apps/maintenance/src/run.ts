import { setMaxListeners } from 'node:events'

import type { Config, Sections } from '@sealfleet/config'
import { claimQueues, createIngestQueue, createRekeyQueue, queueView } from '@sealfleet/queue'
import { classify } from '@sealfleet/failures'
import { claimBucket } from '@sealfleet/objects'
import { runTasks } from '@sealfleet/maintenance'
import { fileStates } from '@sealfleet/records/files'
import { getFleet } from '@sealfleet/records/fleet'
import type { Logger, Metrics } from '@sealfleet/telemetry'

import {
  AsyncDisposableStack,
  LastResults,
  openConfiguredRecords,
  openConfiguredStore,
  openQueueRedis,
  redisProbe,
  setHsmStates,
  startHeartbeat,
  startRounds,
  startStatusServer,
  storeProbe,
} from '@sealfleet/runtime'
import { DESTROYED_KEYS_MS, watchDestroyedKeys, type DestroyedKeysPorts } from '@sealfleet/keys'
import { hsmStateOf, MAINTENANCE_SESSIONS, openMaintenanceHsm, type MaintenanceHsm } from './hsm.js'
import { watchKeyAges } from './key-ages.js'
import { taskObserver } from './observe.js'
import { runRekeyDispatcher } from './rekey-dispatcher.js'
import { runRelay } from './outbox-relay.js'
import { maintenanceTasks } from './tasks/index.js'

export type MaintenanceSettings = Config<'database' | 'redis' | 's3' | 'maintenance' | 'ops'> &
  Partial<Pick<Sections, 'hsm'>>

/** Interval between two reads of key ages, which are in days: a minute is enough. */
const KEY_AGES_MS = 60_000
/** Loops besides the tasks: outbox, key ages, rekey dispatcher, destroyed keys. */
const OTHER_LOOPS = 4
/** Stop-signal listeners of one loop at a time: its pause, or a request to the store and one to the HSM. */
const WAITS_OF_A_LOOP = 3

export interface MaintenanceOptions {
  readonly config: MaintenanceSettings
  readonly log: Logger
  readonly metrics: Metrics
  /** Names this process in leases, in the audit log and among the workers. */
  readonly id: string
  /** Milliseconds between two rounds of probes; ROUND_MS unless a test says otherwise. */
  readonly roundMs?: number
}

/**
 * Opens what maintenance needs (an HSM only where one is configured, no source folders) and runs its tasks until disposed
 * of. Throws coded errors; then nothing is left open.
 */
export async function runMaintenance({
  config,
  log,
  metrics,
  id,
  roundMs,
}: MaintenanceOptions): Promise<AsyncDisposable> {
  const closers = new AsyncDisposableStack()
  try {
    const records = await openConfiguredRecords(config, { name: `sealfleet-maintenance ${id}`, poolSize: 6 })
    closers.defer(() => records.close())
    const redis = await openQueueRedis(config, `sealfleet-${id}`)
    closers.defer(() => redis.disconnect())
    const { id: fleet } = await getFleet(records)
    const { prefix } = config.redis
    const assertOurs = () => claimQueues(redis, fleet, prefix)
    await assertOurs()
    const queue = createIngestQueue(redis, { prefix, fleet })
    closers.defer(() => queue.close())
    const rekeyQueue = createRekeyQueue(redis, { prefix, fleet })
    closers.defer(() => rekeyQueue.close())
    const store = await openConfiguredStore(config, { log })
    closers.defer(() => store.close())
    const assertOurBucket = (o?: { readonly signal: AbortSignal }) => claimBucket(store, fleet, o)
    await assertOurBucket()
    const hsm = await openMaintenanceHsm(config, { records, log, metrics, id })
    if (hsm !== undefined) closers.defer(() => hsm.pool.close())

    const stop = new AbortController()
    const { signal } = stop
    // Every loop and its current request listen to it, so this many listeners are intended.
    setMaxListeners(0, signal)
    const jobs = queueView(queue, (ids) => fileStates(records, ids))
    const actor = `maintenance:${id}`
    const tasks = maintenanceTasks({ records, store, jobs, actor, hsm, metrics, log }, config.maintenance)
    // More than Node's ten listeners stay for the process's lifetime; more than these would be a leak.
    setMaxListeners((tasks.length + OTHER_LOOPS) * WAITS_OF_A_LOOP, signal)
    const running = Promise.all([
      runTasks(records, id, tasks, { signal, events: taskObserver(metrics, log) }),
      runRelay({ records, queue, metrics, log }, config.maintenance.relayMs, signal),
      watchKeyAges({ records, metrics, log }, KEY_AGES_MS, signal),
      runRekeyDispatcher(
        { records, queue: rekeyQueue, metrics, log, actor },
        { everyMs: config.maintenance.relayMs },
        signal,
      ),
      ...(hsm === undefined
        ? []
        : [watchDestroyedKeys({ records, log, ...forgetting(hsm) }, DESTROYED_KEYS_MS, signal)]),
    ])
    closers.defer(async () => {
      stop.abort(new Error('maintenance is shutting down'))
      await running
    })
    const last = new LastResults<'database' | 'redis' | 's3'>()
    const hsmLast = new LastResults<'hsm'>()
    const heart = startHeartbeat({
      records,
      id,
      concurrency: 0, // takes no jobs
      detail: () => {
        const hsmState = hsmStateOf(config.hsm !== undefined, hsm)
        hsmLast.set('hsm', hsmState === 'ready' || hsmState === 'none' ? undefined : hsmState)
        return {
          program: 'maintenance',
          breakers: Object.fromEntries(last.failed),
          since: Object.fromEntries([...last.since, ...hsmLast.since]),
          hsm: hsmState,
        }
      },
      onFailure: (error) =>
        log.warn({ code: classify(error).code, err: error }, 'the heartbeat of maintenance could not be recorded'),
    })
    closers.defer(() => heart.stop())
    await heart.setState('READY')
    const rounds = startRounds<'database' | 'redis' | 's3'>({
      probes: {
        database: () => heart.beat(),
        redis: redisProbe(redis, prefix, assertOurs),
        s3: storeProbe(store, assertOurBucket),
      },
      rarely: ['s3'],
      everyMs: roundMs,
      onResult: (name, error) => last.set(name, error && classify(error, { during: name }).code),
    })
    closers.defer(() => rounds[Symbol.asyncDispose]())
    if (config.maintenance.healthPort !== undefined) {
      const status = await startStatusServer(config.ops.host, config.maintenance.healthPort, {
        ready: () => !stop.signal.aborted && last.failed.size === 0,
        reason: () => [...last.failed].map(([name, code]) => `not ready: ${name}: ${code}`).join('\n'),
        metrics: () => {
          if (hsm !== undefined) setHsmStates(metrics, hsm.pool.health(), MAINTENANCE_SESSIONS)
          return metrics.registry.metrics()
        },
      })
      closers.defer(() => status.close())
      log.info({ port: status.port }, 'health and metrics')
    }
    log.info({ worker: id }, 'maintenance started')
    return closers
  } catch (error) {
    await closers[Symbol.asyncDispose]()
    throw error
  }
}

function forgetting({ pool }: MaintenanceHsm): Pick<DestroyedKeysPorts, 'pool' | 'forget'> {
  return { pool, forget: (key) => pool.forget(key) }
}

import {
  type AttemptDependencies,
  ByteBudget,
  noStepHook,
  OtherBuckets,
  type StepHook,
  UnrecordedFailures,
} from '@sealfleet/attempts'
import type { Config } from '@sealfleet/config'
import { claimQueues, QUEUES } from '@sealfleet/queue'
import { classify } from '@sealfleet/failures'
import { claimBucket, withDestroyedKeyErrors } from '@sealfleet/objects'
import { fleetPinLockout } from '@sealfleet/records/keys'
import { getFleet } from '@sealfleet/records/fleet'
import type { KeyReport } from '@sealfleet/records/upkeep'
import type { Logger, Metrics } from '@sealfleet/telemetry'

import { Breakers, pausesConsumer, type OpenBreaker } from './health/breakers.js'
import { heedProbeRequests } from './health/probe-requests.js'
import {
  AsyncDisposableStack,
  hsmObserver,
  hsmProbe,
  openConfiguredRecords,
  openConfiguredStore,
  openHsmPool,
  openQueueRedis,
  redisProbe,
  setHsmStates,
  startHeartbeat,
  startRounds,
  startStatusServer,
  storeOptions,
  storeProbe,
  storeTakesObjects,
  trackLastUsedKey,
  workerRedis,
} from '@sealfleet/runtime'
import { breakerDetail, breakerObserver, describeOpen } from './health/breaker-report.js'
import { UnavailableRoots } from './health/unavailable-roots.js'
import { DESTROYED_KEYS_MS, keyProver, proveActiveKeys, startKeyWatch, watchDestroyedKeys } from '@sealfleet/keys'
import { startAttemptWorker, type AttemptWorker, type AttemptWorkerOptions } from './consume/attempt-worker.js'
import { ingestJobs } from './consume/ingest-jobs.js'
import { refuseRequest } from './consume/refusal.js'
import { rekeyJobs } from './consume/rekey-jobs.js'
import { Activity } from './health/activity.js'
import { queueLook } from './health/queue-state.js'
import { reportStall } from './health/report.js'
import { startWatchdog } from './health/watchdog.js'
import { makeRoom } from './memory.js'

/** Operations of one job that may wait for HSM sessions at once: of each key a derivation, its repetition, a wrapped nonce. */
const WAITERS_PER_JOB = 8

export type WorkerSettings = Config<'database' | 'redis' | 's3' | 'hsm' | 'roots' | 'worker' | 'ops'>

export interface WorkerOptions {
  readonly config: WorkerSettings
  readonly log: Logger
  readonly metrics: Metrics
  readonly workerId: string
  /** Fault points for tests. */
  readonly step?: StepHook
  /** Milliseconds between two rounds of probes; ROUND_MS unless a test says otherwise. */
  readonly roundMs?: number
}

export interface RunningWorker extends AsyncDisposable {
  readonly ingest: AttemptWorker
  /** Resolves with an exit status when the worker has stalled, so that the caller ends the process. Otherwise never. */
  readonly lost: Promise<number>
  /** Drains and closes; the same as disposing. A second call finds nothing left to do. */
  stop(): Promise<void>
}

/**
 * Opens everything a worker needs, in the order in which missing parts are best reported, and starts taking
 * jobs. Disposing drains and closes. Throws coded errors; then nothing is left open.
 */
export async function runWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { config, log, metrics, workerId } = options
  const { concurrency, rekeyConcurrency } = config.worker
  const closers = new AsyncDisposableStack()
  try {
    // A worker's own connection waits for Redis forever, which is right later; at the start an error must be reported.
    const name = `sealfleet-${workerId}`
    const first = await openQueueRedis(config, name)
    first.disconnect()
    const connection = await workerRedis(config, name)
    closers.defer(() => connection.disconnect())

    const records = await openConfiguredRecords(config, { name: `sealfleet-worker ${workerId}` })
    closers.defer(() => records.close())

    // Before anything is written: another fleet's queue would have its files stored here, under its ids.
    const { prefix } = config.redis
    const fleet = await getFleet(records)
    const assertOurs = () => claimQueues(connection, fleet.id, prefix)
    await assertOurs()

    const activity = new Activity()
    const queues = [QUEUES.ingest, ...(config.worker.rekeyConcurrency > 0 ? [QUEUES.rekey] : [])]
    let open: () => readonly OpenBreaker[] = () => []
    let keys: () => KeyReport | null = () => null
    const heart = startHeartbeat({
      records,
      id: workerId,
      concurrency,
      detail: () => ({
        active: activity.jobs.length,
        queues,
        ...breakerDetail(open()),
        keys: keys(),
      }),
      onFailure: (error) =>
        log.warn({ code: classify(error).code, err: error }, 'the heartbeat of this worker could not be recorded'),
    })
    closers.defer(() => heart.stop())
    await heart.setState('STARTING')

    const store = await openConfiguredStore(config, {
      log,
      queueSize: config.worker.partsInFlight,
      maxBytesInFlight: config.worker.bytesInFlight,
    })
    closers.defer(() => store.close())
    const assertOurBucket = (o?: { readonly signal: AbortSignal }) => claimBucket(store, fleet.id, o)
    await assertOurBucket()

    const { hsm } = config
    const pool = await openHsmPool(config, {
      agents: hsm.agents,
      sessions: hsm.sessions,
      // All jobs may wait at once: a pool that refused its own jobs would slow the whole fleet down.
      maxWaiters: WAITERS_PER_JOB * (concurrency + rekeyConcurrency),
      // A PIN that was rejected for one process is not tried by another: a token locks itself after three tries.
      lockout: fleetPinLockout(records, workerId),
      onEvent: hsmObserver(metrics, log),
    })
    closers.defer(() => pool.close())

    // From before the first job until the last one has ended: a rotation relies on every worker that may seal.
    const watch = await startKeyWatch({
      records,
      pool,
      onChange: () => heart.beatNow(),
      onFailure: (error) => log.warn({ code: classify(error).code, err: error }, 'the check for new keys failed'),
    })
    closers.defer(() => watch[Symbol.asyncDispose]())
    keys = watch.report
    await heart.beatNow()

    const { keys: checkValues, lastUsed, forget } = trackLastUsedKey(pool)
    const stopWatching = new AbortController()
    const destroyed = watchDestroyedKeys({ records, pool, log, forget }, DESTROYED_KEYS_MS, stopWatching.signal)
    closers.defer(async () => {
      stopWatching.abort(new Error('the worker is stopping'))
      await destroyed
    })
    const prove = keyProver({ records, pool, store, log, actor: `worker:${workerId}` })
    // Derived twice, on two agents, and compared: a wrong derivation is found before it seals a file (docs/design/hsm-pool.md).
    const sealing = pool.confirmed({ prove })
    await proveActiveKeys({ records, log }, (key) => sealing.proven(key))
    const owed = new UnrecordedFailures()
    const rootsOut = new UnavailableRoots(config.roots)
    let rekey: AttemptWorker | undefined
    let ready = false
    // Small versions of what jobs do: jobs detect an outage, rounds detect it while no job comes, breakers detect its
    // end.
    const probes = {
      hsm: hsmProbe(pool, lastUsed),
      s3: storeProbe(store, assertOurBucket),
      // A claim is a write: a database that only answers reads is no use.
      database: async () => {
        await heart.beat()
        await owed.flush()
      },
      redis: redisProbe(connection, prefix, assertOurs),
    }
    const breakers = new Breakers({
      ...breakerObserver(metrics, log),
      onChange: () => void heart.beatNow(),
      onAccepting: (taking) => {
        ingest.intake(taking)
        rekey?.intake(taking)
        metrics.workerReady.set(taking && ready ? 1 : 0)
      },
      probes: { ...probes, s3: storeTakesObjects(store, assertOurBucket), roots: rootsOut.probe },
    })
    closers.defer(() => breakers[Symbol.dispose]())
    open = () => breakers.open()
    const heeding = heedProbeRequests({
      connection,
      prefix,
      waiting: () => open().length > 0,
      probeNow: () => breakers.probeNow(),
    })
    closers.defer(() => heeding[Symbol.dispose]())
    const budget = new ByteBudget(config.worker.bytesInFlight, makeRoom)
    metrics.workerBytesBudget.set(budget.capacity)
    const dependencies: AttemptDependencies = {
      records,
      checkValues,
      hsm: sealing,
      store,
      budget,
      leaseSeconds: config.worker.leaseSeconds,
      leaseRenewSeconds: config.worker.leaseRenewSeconds,
      namesSources: config.s3.pathMetadata === 'plain',
      step: options.step ?? noStepHook,
      moved: () => activity.moved(),
    }
    const consuming = {
      connection,
      prefix,
      workerId,
      leaseSeconds: config.worker.leaseSeconds,
      log,
      assertOurs,
      activity,
      refuse: (refusal) => refuseRequest(records, refusal),
      onOutage: (dependency, code) => breakers.failed(dependency, code),
      onUnrecorded: (end) => owed.add(end),
    } satisfies Omit<AttemptWorkerOptions, 'concurrency'>
    const ingest = startAttemptWorker(
      { ...consuming, concurrency },
      ingestJobs({
        dependencies: { ...dependencies, roots: config.roots },
        fleets: [fleet.id, ...fleet.tookOver],
        rootsOut,
        metrics,
      }),
    )
    if (rekeyConcurrency > 0) {
      const others = new OtherBuckets(store, storeOptions(config, log))
      closers.defer(() => others[Symbol.asyncDispose]())
      const opener = withDestroyedKeyErrors(records, pool)
      rekey = startAttemptWorker(
        { ...consuming, concurrency: rekeyConcurrency },
        rekeyJobs({ ...dependencies, opener, storeOf: (bucket) => others.of(bucket) }, metrics),
      )
    }
    const queue = queueLook(connection, prefix, queues)
    closers.defer(() => queue[Symbol.asyncDispose]())
    const watchdog = startWatchdog({
      limitMs: config.worker.watchdogSeconds * 1000,
      activity,
      held: () => !ready || open().some(pausesConsumer),
      look: () => queue.look(),
    })
    closers.defer(() => watchdog[Symbol.dispose]())
    closers.defer(async () => {
      ready = false
      metrics.workerReady.set(0)
      log.info({ inFlight: activity.jobs.length }, 'draining')
      const said = heart.setState('DRAINING')
      const graceMs = config.worker.shutdownGraceSeconds * 1000
      await Promise.all([ingest.drain(graceMs), rekey?.drain(graceMs)])
      await said
      try {
        await owed.flush()
      } catch (error) {
        log.warn(
          { code: classify(error).code, count: owed.size, err: error },
          'outcomes of attempts are still unrecorded',
        )
      }
    })
    await ingest.worker.waitUntilReady()
    await rekey?.worker.waitUntilReady()
    ready = true
    metrics.workerReady.set(open().some(pausesConsumer) ? 0 : 1)
    await heart.setState('READY')
    const rounds = startRounds({
      probes,
      rarely: ['s3'],
      everyMs: options.roundMs,
      skip: (name) => open().some(({ dependency }) => dependency === name),
      onResult: (name, error) => {
        if (error !== undefined) breakers.failed(name, classify(error, { during: name }).code)
      },
    })
    closers.defer(() => rounds[Symbol.asyncDispose]())

    if (config.worker.healthPort !== undefined) {
      const status = await startStatusServer(config.ops.host, config.worker.healthPort, {
        ready: () => ready && !open().some(pausesConsumer) && ingest.worker.isRunning(),
        reason: () => describeOpen(open()),
        alive: watchdog.alive,
        metrics: () => {
          metrics.workerBytesInFlight.set(budget.inUse)
          const again = activity.jobs.filter(({ jobId }) => jobId.startsWith('r-')).length
          metrics.workerJobs.set({ queue: QUEUES.ingest }, activity.jobs.length - again)
          metrics.workerJobs.set({ queue: QUEUES.rekey }, again)
          setHsmStates(metrics, pool.health(), hsm.sessions)
          metrics.workerLastProgress.set(Date.now() / 1000 - (performance.now() - activity.movedAt) / 1000)
          return metrics.registry.metrics()
        },
      })
      closers.defer(() => status.close())
      log.info({ port: status.port }, 'health and metrics')
    }
    log.info({ concurrency, worker: workerId }, 'taking jobs')
    return {
      ingest,
      lost: watchdog.wedged.then((wedge) => reportStall(log, wedge, activity)),
      stop: () => closers[Symbol.asyncDispose](),
      [Symbol.asyncDispose]: () => closers[Symbol.asyncDispose](),
    }
  } catch (error) {
    await closers[Symbol.asyncDispose]()
    throw error
  }
}

import type { Config } from '@sealfleet/config'
import { HsmPool } from '@sealfleet/hsm'
import { assertNoEviction, connectProducer, createWorkerConnection } from '@sealfleet/jobs'
import { fleetPinLatch, openRecords } from '@sealfleet/records'
import { openStore } from '@sealfleet/store'
import { countFailure, type Logger, type Metrics } from '@sealfleet/telemetry'
import { randomUUID } from 'node:crypto'

import { ByteBudget } from './attempt/byte-budget.js'
import type { IngestOutcome } from './attempt/ingest.js'
import { noStepHook, type StepHook } from './attempt/steps.js'
import { Closers } from './closers.js'
import { hsmObserver } from './hsm-events.js'
import { startStatusServer } from './http.js'
import { startIngestWorker, type IngestWorker } from './queue/ingest-worker.js'
import { ingestRecords, refuseRequest } from './records-port.js'

export type WorkerSettings = Config<'database' | 'redis' | 's3' | 'hsm' | 'roots' | 'worker' | 'ops'>

export interface RunOptions {
  readonly config: WorkerSettings
  readonly log: Logger
  readonly metrics: Metrics
  readonly workerId: string
  /** Fault points for tests. */
  readonly step?: StepHook
}

export interface RunningWorker extends AsyncDisposable {
  readonly ingest: IngestWorker
  /** Drains and closes; the same as disposing. A second call finds nothing left to do. */
  stop(): Promise<void>
}

/**
 * Opens everything a worker needs, in the order in which a person would want to hear what is missing, and starts taking
 * jobs. Disposing drains and closes. Throws coded errors; then nothing is left open.
 */
export async function runWorker(options: RunOptions): Promise<RunningWorker> {
  const { config, log, metrics, workerId } = options
  const closers = new Closers()
  try {
    // A worker's own connection waits for Redis for ever, which is right later on; at the start somebody wants to hear.
    const first = await connectProducer(config.redis.url.reveal())
    await assertNoEviction(first).finally(() => first.disconnect())
    const connection = createWorkerConnection(config.redis.url.reveal(), { connectionName: `sealfleet-${workerId}` })
    closers.defer(() => connection.disconnect())

    const records = await openRecords(config.database.url.reveal(), {
      applicationName: `sealfleet-worker ${workerId}`.slice(0, 63),
      poolSize: config.database.poolSize,
      connectTimeoutMs: config.database.connectTimeoutMs,
      statementTimeoutMs: config.database.statementTimeoutMs,
    })
    closers.defer(() => records.close())

    const store = await openStore(storeOptions(config, log))
    closers.defer(() => store.close())

    const { pin, ...hsm } = config.hsm
    const pool = await HsmPool.open({
      tokens: [
        {
          module: hsm.module,
          token: hsm.token,
          pin: pin.kind === 'file' ? pin : { kind: 'value', value: pin.value.bytes() },
          pinId: hsm.pinId,
          env: config.passthroughEnv,
        },
      ],
      agents: hsm.agents,
      sessions: hsm.sessions,
      softTimeoutMs: hsm.softTimeoutMs,
      hardTimeoutMs: hsm.hardTimeoutMs,
      // A PIN that one process had rejected is tried by no other: three tries, and a token locks itself.
      latch: fleetPinLatch(records, workerId),
      onEvent: hsmObserver(metrics, log),
    })
    closers.defer(() => pool.close())

    const port = ingestRecords(records, pool)
    const budget = new ByteBudget(config.worker.bytesInFlight)
    metrics.workerBytesBudget.set(budget.capacity)
    const ingest = startIngestWorker({
      connection,
      prefix: config.redis.prefix,
      concurrency: config.worker.concurrency,
      workerId,
      log,
      ports: {
        records: port,
        // Derived twice, on two agents: a flipped bit is found before it makes a file that nobody can open.
        hsm: pool.confirmed(),
        store,
        roots: config.roots,
        budget,
        leaseSeconds: config.worker.leaseSeconds,
        leaseRenewSeconds: config.worker.leaseRenewSeconds,
        newId: randomUUID,
        nowMs: Date.now,
        step: options.step ?? noStepHook,
      },
      refuse: (refusal) => refuseRequest(records, refusal),
      onOutcome: (outcome, seconds) => {
        metrics.workerBytesInFlight.set(budget.inUse)
        count(metrics, outcome, seconds)
      },
    })
    let ready = true
    closers.defer(async () => {
      ready = false
      metrics.workerReady.set(0)
      log.info({ inFlight: ingest.active() }, 'draining')
      await ingest.drain(config.worker.shutdownGraceSeconds * 1000)
    })
    await ingest.worker.waitUntilReady()
    metrics.workerReady.set(1)

    if (config.worker.healthPort !== undefined) {
      const status = await startStatusServer(config.ops.host, config.worker.healthPort, {
        ready: () => ready && ingest.worker.isRunning(),
        metrics: () => metrics.registry.metrics(),
      })
      closers.defer(() => status.close())
      log.info({ port: status.port }, 'health and metrics')
    }
    log.info({ concurrency: config.worker.concurrency, worker: workerId }, 'taking jobs')
    return {
      ingest,
      stop: () => closers[Symbol.asyncDispose](),
      [Symbol.asyncDispose]: () => closers[Symbol.asyncDispose](),
    }
  } catch (error) {
    await closers[Symbol.asyncDispose]()
    throw error
  }
}

function storeOptions({ s3, worker }: WorkerSettings, log: Logger): Parameters<typeof openStore>[0] {
  return {
    ...(s3.endpoint !== undefined && { endpoint: s3.endpoint }),
    region: s3.region,
    bucket: s3.bucket,
    accessKeyId: s3.accessKeyId.reveal(),
    secretAccessKey: s3.secretAccessKey.reveal(),
    forcePathStyle: s3.forcePathStyle,
    connectTimeoutMs: s3.connectTimeoutMs,
    requestTimeoutMs: s3.requestTimeoutMs,
    maxAttempts: s3.maxAttempts,
    partSize: s3.partSize,
    queueSize: worker.partsInFlight,
    maxBytesInFlight: worker.bytesInFlight,
    unsignedPayload: s3.unsignedPayload,
    onWarning: (warning) => log.warn({ component: 's3', code: warning.code, err: warning }, 'store warning'),
  }
}

function count(metrics: Metrics, outcome: IngestOutcome, seconds: number): void {
  const code = outcome.kind === 'failed' ? outcome.failed.code : ''
  metrics.attempts.inc({ outcome: outcome.kind, code })
  metrics.attemptSeconds.observe({ outcome: outcome.kind }, seconds)
  metrics.workerLastProgress.setToCurrentTime()
  if (outcome.kind === 'failed') countFailure(metrics, outcome.failed.failure)
  if (outcome.kind === 'stored') {
    metrics.plaintextBytes.inc(outcome.object.plaintextLength)
    metrics.objectBytes.inc(outcome.object.objectLength)
  }
}

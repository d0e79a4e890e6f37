import { OtherBuckets } from '@sealfleet/attempts'
import { tlsOptions, type Config } from '@sealfleet/config'
import { classify } from '@sealfleet/failures'
import { assertOwnBucket, registeredKeys, type RegisteredKeys } from '@sealfleet/objects'
import type { MasterKeyRef } from '@sealfleet/format'
import { assertQueuesAreOurs, IngestClient, openIngestClient } from '@sealfleet/queue'
import { appendAudit } from '@sealfleet/records/audit'
import { acceptFiles, countsByState } from '@sealfleet/records/files'
import { getFleet } from '@sealfleet/records/fleet'
import { fleetPinLockout } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import {
  AsyncDisposableStack,
  hsmObserver,
  hsmProbe,
  openConfiguredRecords,
  openConfiguredStore,
  openHsmPool,
  setHsmStates,
  startHeartbeat,
  storeOptions,
} from '@sealfleet/runtime'
import type { Logger, Metrics } from '@sealfleet/telemetry'
import type { AddressInfo } from 'node:net'
import { DomainNames } from './domains.js'
import { createServer } from './server.js'

export type GatewaySettings = Config<'database' | 'redis' | 's3' | 'hsm' | 'gateway'>

export interface GatewayOptions {
  readonly config: GatewaySettings
  readonly log: Logger
  readonly metrics: Metrics
  readonly id: string
}

export interface RunningGateway extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** No new connections, running requests within the grace, then everything closed. Any number of calls. */
  stop(): Promise<void>
}

/** Opens everything and listens. Throws coded errors; then nothing is left open. */
export async function runGateway({ config, log, metrics, id }: GatewayOptions): Promise<RunningGateway> {
  const closers = new AsyncDisposableStack()
  const closeAll = () => closers[Symbol.asyncDispose]()
  const { gateway, hsm, redis, protection } = config
  try {
    const records = await openConfiguredRecords(config, { name: `sealfleet-gateway ${id}` })
    closers.defer(() => records.close())
    const { id: fleet } = await getFleet(records)
    const ingest = await openIngestClient({
      redisUrl: redis.url.reveal(),
      tls: tlsOptions(redis.tls),
      allowPlaintext: protection.allowPlaintext.has('redis'),
      ...{ prefix: redis.prefix, fleet, accept: (files) => acceptFiles(records, files) },
      connectionName: `sealfleet-${id}`,
      onError: (error) => log.warn({ code: classify(error, { during: 'redis' }).code, err: error }, 'redis error'),
    })
    closers.defer(() => ingest.close())

    const store = await openConfiguredStore(config, { log, access: 'read-only' })
    closers.defer(() => store.close())
    const assertOurBucket = () => assertOwnBucket({ records, store })
    await assertOurBucket()
    const others = new OtherBuckets(store, storeOptions(config, log))
    closers.defer(() => others[Symbol.asyncDispose]())

    const pool = await openHsmPool(config, {
      agents: hsm.agents,
      sessions: hsm.sessions,
      maxWaiters: 8 * gateway.readsAtOnce,
      lockout: fleetPinLockout(records, id),
      onEvent: hsmObserver(metrics, log),
    })
    closers.defer(() => pool.close())
    const registered = registeredKeys(records, pool)
    let lastUsed: MasterKeyRef | undefined
    const keyState: RegisteredKeys['keyState'] = (key) => {
      if (key.role !== 'kek') lastUsed = key
      return registered.keyState(key)
    }

    const heart = startHeartbeat({
      ...{ records, id, concurrency: 0 }, // takes no jobs
      detail: () => ({ program: 'gateway', queues: [] }),
      onFailure: (error) =>
        log.warn({ code: classify(error).code, err: error }, 'the heartbeat of this process could not be recorded'),
    })
    closers.defer(() => heart.stop())
    await heart.setState('STARTING')

    let accepting = true
    const probeHsm = hsmProbe(pool, () => lastUsed)
    const app = createServer({
      ...{ records, domains: new DomainNames(records), keys: { ...registered, keyState }, log, metrics },
      storeOf: (bucket) => others.of(bucket),
      ingest: (actor) => new IngestClient(acceptAs(records, actor), ingest.queue),
      probes: [
        { name: 'postgres', check: () => countsByState(records, NO_BATCH) },
        { name: 'redis', check: () => ingest.redis.ping() },
        { name: 'fleet', check: () => assertQueuesAreOurs(ingest.redis, fleet, redis.prefix) },
        { name: 's3', check: () => assertOurBucket() },
        { name: 'hsm', check: () => probeHsm(AbortSignal.timeout(5_000)) },
      ],
      metricsText: () => {
        setHsmStates(metrics, pool.health(), hsm.sessions)
        return metrics.registry.metrics()
      },
      accepting: () => accepting,
      limits: { ...gateway, stallMs: gateway.stallSeconds * 1_000 },
    })
    closers.defer(async () => {
      accepting = false
      await heart.setState('DRAINING')
      const limit = setTimeout(() => app.server.closeAllConnections(), gateway.graceSeconds * 1_000)
      await app.close()
      clearTimeout(limit)
    })
    await app.listen({ host: gateway.host, port: gateway.port })
    await heart.setState('READY')
    const { port } = app.server.address() as AddressInfo
    log.info({ port }, 'listening')
    return { host: gateway.host, port, stop: closeAll, [Symbol.asyncDispose]: closeAll }
  } catch (error) {
    await closeAll()
    throw error
  }
}

/** The id of a batch that does not exist: the cheapest query of the tables. */
const NO_BATCH = '00000000-0000-4000-8000-000000000000'

/** Files and the row that says who brought them, in one transaction. */
function acceptAs(records: Records, actor: string): ConstructorParameters<typeof IngestClient>[0] {
  return (files) =>
    records.transaction(async (tx) => {
      const outcomes = await acceptFiles(tx, files)
      const accepted = outcomes.filter(({ outcome }) => outcome === 'accepted')
      const [first] = accepted
      if (first === undefined) return outcomes
      const batchId = files[0]?.batchId
      const subject =
        batchId === undefined
          ? { subjectKind: 'file', subjectId: first.fileId }
          : { subjectKind: 'batch', subjectId: batchId }
      const domains = [...new Set(files.map(({ domain }) => domain))].sort()
      await appendAudit(tx, { actor, action: 'files.enqueue', ...subject, detail: { files: accepted.length, domains } })
      return outcomes
    })
}

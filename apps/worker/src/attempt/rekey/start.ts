import { randomUUID } from 'node:crypto'

import type { KeyDeriver, NonceWrapper } from '@sealfleet/format'
import type { HsmPool } from '@sealfleet/hsm'
import type { FailureCode } from '@sealfleet/failures'
import type { Records } from '@sealfleet/records'
import { openStore, type Store, type StoreOptions } from '@sealfleet/store'
import type { Logger, Metrics } from '@sealfleet/telemetry'
import type { Redis } from 'ioredis'

import type { ByteBudget } from '../byte-budget.js'
import { UnrecordedFailures } from '../unrecorded-failures.js'
import type { StepHook } from '../steps.js'
import type { Guarded } from '../../health/breaker.js'
import { startRekeyWorker, type RekeyWorker } from '../../consume/rekey-worker.js'
import type { CheckValues } from '@sealfleet/objects'
import { refuseRequest } from '../../records-port.js'
import { withDestroyedKeyErrors } from '@sealfleet/objects'
import type { Activity } from '../../health/activity.js'
import { countRekey } from './count.js'
import type { RekeyEnd } from './ports.js'
import { rekeyRecords } from './records-port.js'

export interface RekeyParts {
  readonly connection: Redis
  readonly prefix: string
  readonly workerId: string
  readonly assertOurs: () => Promise<void>
  readonly concurrency: number
  readonly leaseSeconds: number
  readonly leaseRenewSeconds: number
  readonly records: Records
  readonly pool: HsmPool
  /** The pool for sealing, the same as for new files. */
  readonly sealing: KeyDeriver & NonceWrapper
  readonly keys: CheckValues
  readonly store: Store
  /** For other buckets with the same credentials. */
  readonly storeOptions: StoreOptions
  readonly budget: ByteBudget
  readonly activity: Activity
  readonly step: StepHook
  readonly namesSources: boolean
  readonly log: Logger
  readonly metrics: Metrics
  readonly onOutage: (dependency: Guarded, code: FailureCode) => void
}

/** A worker's part in re-encryption. */
export interface Rekeying {
  readonly consumer: RekeyWorker
  /** Records the outcomes that an outage kept from being recorded. */
  pay(): Promise<void>
  /** Closes what `consumer` used, once it is drained. */
  close(): Promise<void>
}

/** Starts taking jobs of the rekey queue, under the same breakers, byte budget and watchdog as ingest jobs. */
export function startRekeying(parts: RekeyParts): Rekeying {
  const { records, pool, activity, metrics } = parts
  const owed = new UnrecordedFailures<RekeyEnd>()
  const others = new Map<string, Promise<Store>>()
  const storeOf = async (bucket: string): Promise<Store> => {
    if (bucket === parts.store.bucket) return parts.store
    const opening = others.get(bucket) ?? openStore({ ...parts.storeOptions, bucket, access: 'read-only' })
    others.set(bucket, opening)
    try {
      return await opening
    } catch (error) {
      others.delete(bucket)
      throw error
    }
  }
  const port = rekeyRecords(records, parts.keys)
  const consumer = startRekeyWorker({
    connection: parts.connection,
    prefix: parts.prefix,
    concurrency: parts.concurrency,
    workerId: parts.workerId,
    assertOurs: parts.assertOurs,
    log: parts.log,
    activity,
    onOutage: parts.onOutage,
    onUnrecorded: (end) => owed.add(end),
    refuse: (refusal) => refuseRequest(records, refusal),
    onOutcome: (outcome, seconds) => countRekey(metrics, outcome, seconds),
    ports: {
      records: port,
      hsm: parts.sealing,
      opener: withDestroyedKeyErrors(records, pool),
      store: parts.store,
      storeOf,
      budget: parts.budget,
      leaseSeconds: parts.leaseSeconds,
      leaseRenewSeconds: parts.leaseRenewSeconds,
      newId: randomUUID,
      nowMs: Date.now,
      namesSources: parts.namesSources,
      step: parts.step,
      moved: () => activity.moved(),
    },
  })
  return {
    consumer,
    pay: () => owed.flush(port),
    close: async () => {
      for (const opened of await Promise.allSettled(others.values()))
        if (opened.status === 'fulfilled') opened.value.close()
    },
  }
}

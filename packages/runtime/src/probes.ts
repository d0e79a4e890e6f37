import { keyLabel, type MasterKeyRef } from '@sealfleet/format'
import { HsmError, type HsmPool } from '@sealfleet/hsm'
import { classify, CodedError } from '@sealfleet/failures'
import { tryQueue } from '@sealfleet/queue'
import type { Store } from '@sealfleet/store'
import type { Redis } from 'ioredis'

import type { CheckValues } from '@sealfleet/objects'

/** Rejects with the obstacle. */
export type Probe = (signal: AbortSignal) => Promise<void>

/** Each probe tests what jobs need: a dependency that only answers a greeting is not healthy. */

/**
 * Redis takes a job and returns it, and the queues are ours: a Redis that is full, loading, a replica or forbids a
 * command still answers a ping.
 */
export function redisProbe(connection: Redis, prefix: string, assertOurs: () => Promise<void>): Probe {
  return async () => {
    // A worker's connection queues commands while it is disconnected: an answer would come only after the reconnect.
    if (connection.status !== 'ready')
      throw new CodedError('REDIS_UNAVAILABLE', `the connection is ${connection.status}`)
    await tryQueue(connection, prefix)
    await assertOurs()
  }
}

/**
 * The store takes an object and deletes it again, and the bucket is ours: an address may lead to another one since this
 * process began. Without the right to delete a probe only lists: it runs often, and its objects would accumulate.
 * (Where object lock keeps them, `check` leaves none.)
 */
export function storeProbe(
  store: Pick<Store, 'capabilities' | 'check' | 'list'>,
  assertOurs: (options: { readonly signal: AbortSignal }) => Promise<void>,
): Probe {
  return async (signal) => {
    await assertOurs({ signal })
    const { delete: mayDelete, lockedUntil } = store.capabilities
    if (mayDelete || lockedUntil !== undefined) return await store.check({ signal })
    for await (const _ of store.list(PROBED, { signal })) return
  }
}

/** The same before jobs are taken again: then an object is written even if it stays. */
export function storeTakesObjects(
  store: Pick<Store, 'check'>,
  assertOurs: (options: { readonly signal: AbortSignal }) => Promise<void>,
): Probe {
  return async (signal) => {
    await store.check({ signal })
    await assertOurs({ signal })
  }
}

const PROBED = '.sealfleet-probe/'

export type KeyProbePool = Pick<HsmPool, 'health' | 'keyCheckValue'>

/**
 * One derivation in the HSM, under the last used key. It goes through the pool like any other and never logs in: only
 * the pool restarts agents, and it never tries a rejected PIN again.
 */
export function hsmProbe(pool: KeyProbePool, lastUsed: () => MasterKeyRef | undefined): Probe {
  return async (signal) => {
    const key = lastUsed()
    if (key === undefined) {
      const { ready, lastFailure } = pool.health()
      if (ready) return
      throw new HsmError(lastFailure?.code ?? 'HSM_UNAVAILABLE', lastFailure?.message ?? 'no agent of the HSM is ready')
    }
    try {
      await pool.keyCheckValue(key, { signal })
    } catch (error) {
      if (!isAnswer(error)) throw error
    }
  }
}

/** An answer about a key, or about a full queue, is an answer of an HSM that works. */
function isAnswer(error: unknown): boolean {
  return ['E_KEY_UNKNOWN', 'KEY_MISMATCH', 'HSM_BUSY'].includes(classify(error).code)
}

/** Passes check values to the pool, and remembers the key that a probe may use until it is destroyed. */
export function trackLastUsedKey(pool: CheckValues & Pick<HsmPool, 'forget'>): {
  keys: CheckValues
  lastUsed: () => MasterKeyRef | undefined
  forget: (key: MasterKeyRef) => void
} {
  let last: MasterKeyRef | undefined
  return {
    keys: {
      expectCheckValue: (key, checkValue, knownAnswer) => {
        last = key
        pool.expectCheckValue(key, checkValue, knownAnswer)
      },
      expectKekRecord: (kek, record) => pool.expectKekRecord(kek, record),
    },
    lastUsed: () => last,
    forget: (key) => {
      pool.forget(key)
      if (last !== undefined && keyLabel(last) === keyLabel(key)) last = undefined
    },
  }
}

import { FormatError, unwrapNonces, wipe, wrapNonces, type KeyDeriver, type NonceWrapper } from '@sealfleet/format'
import {
  listWrappedNonces,
  rewrapNonces,
  type KekWraps,
  type Rewrapped,
  type WrappedNonces,
} from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import { setTimeout as delay } from 'node:timers/promises'
import { describeError, type ErrorReport } from '../../describe-error.js'
import { EXIT } from '../../exit-status.js'
import { forEachConcurrent } from '@sealfleet/runtime'

export interface RewrapPorts {
  readonly records: Records
  /** Opens under old versions. */
  readonly unwrapper: NonceWrapper
  /** Wraps under the active version, and verifies each result by opening it. */
  readonly wrapper: KeyDeriver & NonceWrapper
}

export interface RewrapOptions {
  readonly domain: string
  /** The version that is to wrap everything. */
  readonly active: Pick<KekWraps, 'keyId' | 'version'>
  /** Only what this version wraps. */
  readonly from?: number | undefined
  /** Attempts a second, at most. */
  readonly rate?: number | undefined
  readonly signal: AbortSignal
  readonly onProgress: (done: number) => void
}

/** An attempt whose nonces could not be rewrapped; they are unchanged. */
export interface NotRewrapped {
  readonly attemptId: string
  readonly fileId: string
  readonly kekVersion: number
  readonly error: ErrorReport
}

export interface RewrapReport {
  rewrapped: number
  /** Another process was faster (another rewrap, a shred): nothing was left to do. */
  raced: number
  readonly failed: NotRewrapped[]
}

/** Attempts that are opened, wrapped and written together. */
const BATCH = 100
const WIDTH = 4

/**
 * Rewraps the nonces of every attempt that another version wraps under the active KEK, whatever the attempt's state: a
 * version that wraps nothing may then be destroyed. Workers may continue meanwhile: an OPEN attempt has its nonces in
 * memory, and its row is rewrapped like any other. Passes are repeated until one finds nothing to do, since a worker
 * may open an attempt under the version it used before the rotation. Stopping it anywhere loses nothing; the next run
 * continues.
 *
 * Updates `report` as it runs, so that it shows what was done when this throws: an HSM or a database out of reach,
 * NO_ACTIVE_KEY (rotated meanwhile), the signal's reason. Nonces in the clear are wiped on every path.
 */
export async function rewrapAll(ports: RewrapPorts, o: RewrapOptions, report: RewrapReport): Promise<void> {
  const hopeless = new Set<string>()
  const began = performance.now()
  let looked = 0
  for (let found = true; found;) {
    found = false
    let after: string | undefined
    for (;;) {
      o.signal.throwIfAborted()
      const page = await listWrappedNonces(ports.records, {
        domain: o.domain,
        kekVersion: o.from,
        exceptKekVersion: o.active.version,
        after,
        limit: BATCH,
      })
      const todo = page.filter(({ attemptId }) => !hopeless.has(attemptId))
      if (todo.length > 0) {
        const exchanged = await rewrapBatch(ports, o, todo, report)
        for (const { attemptId } of report.failed) hopeless.add(attemptId)
        found ||= exchanged > 0
        looked += todo.length
        o.onProgress(looked)
        if (o.rate !== undefined) await pause(began + (looked / o.rate) * 1000, o.signal)
      }
      after = page.at(-1)?.attemptId
      if (page.length < BATCH) break
    }
  }
}

/** Waits until a time of performance.now(), milliseconds. */
async function pause(until: number, signal: AbortSignal): Promise<void> {
  const ms = until - performance.now()
  if (ms > 0) await delay(ms, undefined, { signal })
}

/** @returns how many were rewrapped */
async function rewrapBatch(
  { records, ...hsm }: RewrapPorts,
  o: RewrapOptions,
  batch: readonly WrappedNonces[],
  report: RewrapReport,
): Promise<number> {
  const ready: Rewrapped[] = []
  await forEachConcurrent(batch, WIDTH, async (attempt) => {
    o.signal.throwIfAborted()
    try {
      ready.push(await rewrapOne(hsm, o, attempt))
    } catch (error) {
      if (o.signal.aborted) throw o.signal.reason
      const why = describeError(error, 'hsm')
      if (why.exitStatus !== EXIT.integrity && why.exitStatus !== EXIT.key) throw error
      const { attemptId, fileId, kekVersion } = attempt
      report.failed.push({ attemptId, fileId, kekVersion, error: why })
    }
    return true
  })
  if (ready.length === 0) return 0
  const ids = await rewrapNonces(records, o.active.keyId, ready)
  report.rewrapped += ids.length
  report.raced += ready.length - ids.length
  return ids.length
}

async function rewrapOne(
  { unwrapper, wrapper }: Omit<RewrapPorts, 'records'>,
  { active, signal }: RewrapOptions,
  attempt: WrappedNonces,
): Promise<Rewrapped> {
  const { attemptId, kekKeyId, kekVersion, kekState, wrapped } = attempt
  if (kekState === 'DESTROYED') throw new FormatError('E_KEY_DESTROYED', `kek ${kekVersion} was destroyed`)
  const nonces = await unwrapNonces(unwrapper, kekVersion, attempt, wrapped, { signal })
  try {
    const again = await wrapNonces(wrapper, active.version, attempt, nonces, { signal })
    return { attemptId, from: { kekKeyId, wrapped }, wrapped: again }
  } finally {
    wipe(nonces.nonceEnc, nonces.nonceSig)
  }
}

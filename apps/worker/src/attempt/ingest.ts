import { classify, decide, type Classified, type Decision } from '@sealfleet/failures'

import { Lease, LeaseExpiredError } from './lease.js'
import { messageOf } from './message.js'
import { UnrecordedError } from './unrecorded-failures.js'
import type { Claim, ClaimRequest, FailInput, IngestPorts } from './ports.js'
import { storeFile, type StoredObject } from './store-file.js'

/** Attempts of one file that may end without an outcome (their worker died) before the file is dead as POISON. */
export const MAX_CRASHES = 3

/** How one activation of a job ended. Everything that had to be recorded is recorded. */
export type IngestOutcome =
  | { readonly kind: 'stored'; readonly object: StoredObject; readonly attemptNo: number }
  /** Nothing was left to do: another attempt stored the file, or the file was discarded or deleted. */
  | { readonly kind: 'skipped'; readonly state: string }
  /** Another worker has the file. */
  | { readonly kind: 'leased'; readonly retryInMs: number }
  /** The id belongs to another request; that file is unchanged. */
  | { readonly kind: 'conflict' }
  /** No such key domain: the request cannot become a file. */
  | { readonly kind: 'unknown-domain' }
  /** This worker lost the file while it worked on it. */
  | { readonly kind: 'fenced' }
  | { readonly kind: 'failed'; readonly failed: Classified; readonly error: unknown; readonly decision: Decision }

export interface IngestOptions {
  /** Aborts when the job is cancelled or the worker stops; its reason says which. */
  readonly signal: AbortSignal
  readonly onProgress?: (confirmed: number, total: number) => void
}

/**
 * One attempt at storing a file, from claim to commit (docs/ARCHITECTURE.md §3).
 *
 * Never throws for what the closed list of failure codes knows: the failure is recorded in Postgres and returned with
 * the decision of its policy. It throws only when the database is out of reach: the claim was not answered, or (then an
 * UnrecordedError) its outcome could not be recorded, which the caller must do later. If it never does, the lease runs
 * out, the claim counts as a crash and another one takes the file over.
 */
export async function ingest(
  ports: IngestPorts,
  request: ClaimRequest,
  options: IngestOptions,
): Promise<IngestOutcome> {
  await ports.step('claim', 'before')
  const claimed = await ports.records.claim(request)
  await ports.step('claim', 'after')
  switch (claimed.outcome) {
    case 'conflict':
    case 'unknown-domain':
      return { kind: claimed.outcome }
    case 'over':
      return { kind: 'skipped', state: claimed.state }
    case 'leased':
      return { kind: 'leased', retryInMs: claimed.expiresInMs }
    case 'claimed':
      return underClaim(ports, request, claimed.claim, options)
  }
}

async function underClaim(
  ports: IngestPorts,
  request: ClaimRequest,
  claim: Claim,
  options: IngestOptions,
): Promise<IngestOutcome> {
  if (claim.crashes >= MAX_CRASHES) {
    const deaths = await ports.records.deaths(request.fileId, claim.generation)
    return recordFailure(ports, request, claim, undefined, new PoisonError(claim.crashes, deaths))
  }
  if (claim.damage !== undefined) return recordFailure(ports, request, claim, undefined, claim.damage)
  await using lease = new Lease({
    renew: () => ports.records.renew(request.fileId, request.owner, claim.attemptNo, request.leaseSeconds),
    leaseSeconds: request.leaseSeconds,
    renewEveryMs: ports.leaseRenewSeconds * 1000,
  })
  const signal = AbortSignal.any([lease.signal, options.signal])
  let attemptId: string | undefined
  try {
    const object = await storeFile(ports, {
      request,
      claim,
      lease,
      signal,
      onProgress: options.onProgress,
      onOpened: (id) => {
        attemptId = id
      },
    })
    return { kind: 'stored', object, attemptNo: claim.attemptNo }
  } catch (error) {
    // The abort's reason is the cause; errors underneath (a closed socket, an aborted request) only follow from it.
    return await recordFailure(ports, request, claim, attemptId, signal.aborted ? signal.reason : error)
  } finally {
    await ports.step('wipe', 'after')
  }
}

export class PoisonError extends Error {
  override readonly name = 'PoisonError'
  readonly code = 'POISON'

  /** @param deaths a line for each worker that died, as far as they are known */
  constructor(crashes: number, deaths: readonly string[] = []) {
    const which = deaths.length === 0 ? '' : ` (${deaths.join('; ')})`
    super(`${crashes} attempts at this file ended without an outcome: their workers died or stalled${which}`)
  }
}

async function recordFailure(
  ports: IngestPorts,
  request: ClaimRequest,
  claim: Claim,
  attemptId: string | undefined,
  error: unknown,
): Promise<IngestOutcome> {
  const failed = classify(error)
  if (failed.code === 'FENCED' && !(error instanceof LeaseExpiredError)) return { kind: 'fenced' }
  const end = {
    fileId: request.fileId,
    owner: request.owner,
    attemptNo: claim.attemptNo,
    attemptId,
    code: failed.code,
    class: failed.failure.class,
    message: messageOf(failed, error),
  }
  try {
    const { burned, sameCode } = await ports.records.history(request.fileId, claim.generation, failed.code)
    const decision = decide(failed.failure, { counted: burned + 1, sameCode: sameCode + 1 })
    const retryInMs = 'delayMs' in decision ? decision.delayMs : 0
    const recorded = await ports.records.fail({ ...end, disposition: dispositionOf(decision), retryInMs })
    if (recorded === 'fenced' || failed.code === 'FENCED') return { kind: 'fenced' }
    return { kind: 'failed', failed, error, decision }
  } catch (cause) {
    throw new UnrecordedError<FailInput>({ ...end, disposition: 'release' }, { cause })
  }
}

function dispositionOf({ action }: Decision): FailInput['disposition'] {
  return action === 'dead' || action === 'retry' ? action : 'release'
}

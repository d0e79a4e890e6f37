import { classify, decide, type Classified, type Decision } from '@sealfleet/failures'
import type { RekeyClaim } from '@sealfleet/records/rekey'

import { MAX_CRASHES, PoisonError } from '../ingest.js'
import { Lease, LeaseExpiredError } from '../lease.js'
import { messageOf } from '../message.js'
import { UnrecordedError } from '../unrecorded-failures.js'
import type { RekeyEnd, RekeyPorts } from './ports.js'
import { reseal, type Resealed } from './reseal.js'

/** How one activation of an item's job ended. Everything that had to be recorded is recorded. */
export type RekeyOutcome =
  | { readonly kind: 'done'; readonly claim: RekeyClaim; readonly object: Resealed }
  /** The item has ended: the file is no longer STORED, or no longer under that version, or it was done before. */
  | { readonly kind: 'skipped'; readonly state: string }
  /** The run is paused or over, or there is no such item. */
  | { readonly kind: 'halted' }
  /** Another worker has the item. */
  | { readonly kind: 'leased'; readonly retryInMs: number }
  /** This worker lost the item while it worked on it. */
  | { readonly kind: 'fenced'; readonly claim: RekeyClaim }
  | {
      readonly kind: 'failed'
      readonly claim?: RekeyClaim
      readonly failed: Classified
      readonly error: unknown
      readonly decision: Decision
    }

/**
 * One try at re-encrypting a stored file (docs/ARCHITECTURE.md). Whatever happens, the file stays STORED and readable.
 *
 * Never throws for what the closed list of failure codes knows: the failure is recorded and returned with the decision of
 * its policy. It throws only when the database is out of reach: the claim was not answered, or (then an UnrecordedError)
 * its outcome could not be recorded. If it never is, the lease runs out and another worker gets the item.
 */
export async function rekeyItem(
  ports: RekeyPorts,
  { itemId, owner }: { readonly itemId: string; readonly owner: string },
  signal: AbortSignal,
): Promise<RekeyOutcome> {
  await ports.step('rekey-claim', 'before')
  const claimed = await ports.records.claim(itemId, owner, ports.leaseSeconds)
  await ports.step('rekey-claim', 'after')
  switch (claimed.outcome) {
    case 'over':
      return { kind: 'skipped', state: claimed.state }
    case 'halted':
    case 'unknown':
      return { kind: 'halted' }
    case 'leased':
      return { kind: 'leased', retryInMs: claimed.expiresInMs }
    case 'claimed':
      return underClaim(ports, claimed, owner, signal)
  }
}

async function underClaim(
  ports: RekeyPorts,
  claim: RekeyClaim,
  owner: string,
  stop: AbortSignal,
): Promise<RekeyOutcome> {
  if (claim.tries >= MAX_CRASHES) {
    const deaths = await ports.records.deaths(claim.fileId)
    return recordFailure(ports, claim, owner, new PoisonError(claim.tries, deaths))
  }
  const held = { itemId: claim.itemId, owner, attemptNo: claim.attemptNo }
  await using lease = new Lease({
    renew: () => ports.records.renew(held, ports.leaseSeconds),
    leaseSeconds: ports.leaseSeconds,
    renewEveryMs: ports.leaseRenewSeconds * 1000,
  })
  const signal = AbortSignal.any([lease.signal, stop])
  try {
    return { kind: 'done', claim, object: await reseal(ports, { claim, owner, lease, signal }) }
  } catch (error) {
    // The abort's reason is the cause; errors underneath only follow from it.
    return await recordFailure(ports, claim, owner, signal.aborted ? signal.reason : error)
  } finally {
    await ports.step('rekey-wipe', 'after')
  }
}

async function recordFailure(
  ports: RekeyPorts,
  claim: RekeyClaim,
  owner: string,
  error: unknown,
): Promise<RekeyOutcome> {
  const failed = classify(error)
  const decision = decide(failed.failure, { counted: claim.tries + 1 })
  const end: Omit<RekeyEnd, 'disposition'> = {
    itemId: claim.itemId,
    owner,
    attemptNo: claim.attemptNo,
    code: failed.code,
    class: failed.failure.class,
    message: messageOf(failed, error),
    delaySeconds: 'delayMs' in decision && decision.action === 'retry' ? decision.delayMs / 1000 : 0,
  }
  try {
    const recorded = await ports.records.fail({ ...end, disposition: dispositionOf(decision) })
    if (recorded === 'fenced' || (failed.code === 'FENCED' && !(error instanceof LeaseExpiredError)))
      return { kind: 'fenced', claim }
    return { kind: 'failed', claim, failed, error, decision }
  } catch (cause) {
    throw new UnrecordedError<RekeyEnd>({ ...end, disposition: 'release' }, { cause })
  }
}

function dispositionOf({ action }: Decision): RekeyEnd['disposition'] {
  if (action === 'retry') return 'retry'
  return action === 'dead' ? 'fail' : 'release'
}

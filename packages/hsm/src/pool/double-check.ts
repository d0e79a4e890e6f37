import { timingSafeEqual } from 'node:crypto'

import { wipe } from '@sealfleet/format'

import { HsmError } from '../errors/hsm-error.js'
import type { HsmEvent } from '../events.js'
import { IV_LENGTH, NONCES_LENGTH } from '../inputs.js'
import type { Submission } from './request-factory.js'
import type { Computed, SealingGuard } from './sealing-guard.js'
import type { AgentHandle } from './agent-handle.js'
import type { FailoverPool } from './failover-pool.js'

/** The guard, and the inputs of the outputs it checks. */
export interface Guarding {
  readonly guard: SealingGuard
  readonly computed: Computed
}

type Submitter = Pick<FailoverPool, 'submit' | 'replaceAgents'>

/**
 * Derives twice, the second time on another agent where one is ready, and returns the answer only when both agree. A
 * flipped bit while sealing would make a file that can never be opened (docs/design/hsm-pool.md states the cost of this check).
 * When the answers differ, both agents are replaced and the call rejects with HSM_UNAVAILABLE. The second derivation
 * counts only if its agent then gives the key's known answer. The answer must also pass the guard (KEY_MISMATCH).
 */
export async function computeTwice(
  tokens: Submitter,
  submission: Submission,
  emit: (event: HsmEvent) => void,
  { guard, computed }: Guarding,
): Promise<Buffer> {
  const answer = await agreed(tokens, submission, emit, 'sealing')
  try {
    guard.check(answer, computed)
    return answer
  } catch (error) {
    wipe(answer)
    throw error
  }
}

/** Computes twice, the second time on another agent where one is ready. @see computeTwice */
export async function agreed(
  tokens: Submitter,
  submission: Submission,
  emit: (event: HsmEvent) => void,
  secondName: Submission['name'] = submission.name,
): Promise<Buffer> {
  const agents: AgentHandle[] = []
  const answeredBy = (life: AgentHandle) => agents.push(life)
  const first = await tokens.submit({ ...submission, answeredBy })
  let second: Buffer | undefined
  let same = false
  try {
    second = await tokens.submit({ ...submission, name: secondName, answeredBy, excludeAgent: agents[0] })
    same = timingSafeEqual(first, second)
    if (!same) throw disagreement(tokens, agents, submission, emit)
    return first
  } finally {
    wipe(second)
    if (!same) wipe(first)
  }
}

/** Wraps, and opens the record again before returning it. */
export async function wrapAndOpen(
  tokens: Submitter,
  wrap: Submission,
  open: (wrapped: Buffer) => Submission,
  plaintext: Uint8Array,
  emit: (event: HsmEvent) => void,
  guard: SealingGuard,
): Promise<Buffer> {
  const agents: AgentHandle[] = []
  const answeredBy = (life: AgentHandle) => agents.push(life)
  const wrapped = await tokens.submit({ ...wrap, answeredBy })
  const opened = await tokens
    .submit({ ...open(wrapped), answeredBy, excludeAgent: agents[0] })
    .catch((error: unknown) => {
      if (error instanceof HsmError && error.code === 'E_NONCE_UNWRAP') throw disagreement(tokens, agents, wrap, emit)
      throw error
    })
  try {
    if (!timingSafeEqual(opened, plaintext)) throw disagreement(tokens, agents, wrap, emit)
    // A token that neither encrypts nor decrypts passes the round trip, too.
    guard.check(wrapped.subarray(IV_LENGTH, IV_LENGTH + NONCES_LENGTH), { label: wrap.label, input: plaintext })
    return wrapped
  } finally {
    wipe(opened)
  }
}

function disagreement(
  tokens: Submitter,
  agents: readonly AgentHandle[],
  { role, label }: Submission,
  emit: (event: HsmEvent) => void,
): HsmError {
  const failure = new HsmError('HSM_UNAVAILABLE', `two computations with ${label} gave different answers`, {
    fix: 'Take this HSM out of service and have it examined if it recurs: it computes wrongly. The job is tried again.',
  })
  emit({ type: 'disagreement', role })
  tokens.replaceAgents(agents, failure)
  return failure
}

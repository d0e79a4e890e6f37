import { timingSafeEqual } from 'node:crypto'

import { HsmError } from '../errors/hsm-error.js'
import type { HsmEvent } from '../events.js'
import type { Submission } from './ledger.js'
import type { AgentLife } from './life.js'
import type { Tokens } from './tokens.js'

type Submitter = Pick<Tokens, 'submit' | 'distrust'>

/**
 * Derives twice, the second time on another agent where one is ready, and hands out the answer only when both agree. One
 * flipped bit while sealing would make a file that nobody can ever open (docs/HSM.md says what this costs). When they
 * differ neither agent is trusted any more: both are replaced, and the call rejects with HSM_UNAVAILABLE.
 */
export async function submitTwice(
  tokens: Submitter,
  submission: Submission,
  emit: (event: HsmEvent) => void,
): Promise<Buffer> {
  const lives: AgentLife[] = []
  const answeredBy = (life: AgentLife) => lives.push(life)
  const first = await tokens.submit({ ...submission, answeredBy })
  let second: Buffer | undefined
  let agreed = false
  try {
    second = await tokens.submit({ ...submission, answeredBy, notOn: lives[0] })
    agreed = timingSafeEqual(first, second)
    if (!agreed) throw disagreement(tokens, lives, submission, emit)
    return first
  } finally {
    second?.fill(0)
    if (!agreed) first.fill(0)
  }
}

/** Wraps, and opens the record again before it counts. */
export async function wrapAndOpen(
  tokens: Submitter,
  wrap: Submission,
  open: (wrapped: Buffer) => Submission,
  plaintext: Uint8Array,
  emit: (event: HsmEvent) => void,
): Promise<Buffer> {
  const lives: AgentLife[] = []
  const answeredBy = (life: AgentLife) => lives.push(life)
  const wrapped = await tokens.submit({ ...wrap, answeredBy })
  const opened = await tokens.submit({ ...open(wrapped), answeredBy, notOn: lives[0] }).catch((error: unknown) => {
    if (error instanceof HsmError && error.code === 'E_NONCE_UNWRAP') throw disagreement(tokens, lives, wrap, emit)
    throw error
  })
  try {
    if (!timingSafeEqual(opened, plaintext)) throw disagreement(tokens, lives, wrap, emit)
    return wrapped
  } finally {
    opened.fill(0)
  }
}

function disagreement(
  tokens: Submitter,
  lives: readonly AgentLife[],
  { role, label }: Submission,
  emit: (event: HsmEvent) => void,
): HsmError {
  const failure = new HsmError('HSM_UNAVAILABLE', `two computations with ${label} gave different answers`, {
    fix: 'Take this HSM out of service and have it examined if it recurs: it computes wrongly. The job is tried again.',
  })
  emit({ type: 'disagreement', role })
  tokens.distrust(lives, failure)
  return failure
}

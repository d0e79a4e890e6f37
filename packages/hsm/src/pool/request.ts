import { KNOWN_ANSWER_LENGTH, type Role } from '../contract.js'
import type { HsmError } from '../errors/hsm-error.js'
import { KCV_LENGTH, NONCES_LENGTH, WRAPPED_LENGTH } from '../inputs.js'
import type { AgentLife } from './life.js'
import { KIND, type Kind } from '../wire/frames.js'

export type OperationName = 'hmac' | 'sealing' | 'check-value' | 'known-answer' | 'wrap' | 'unwrap' | 'bind' | 'ping'

/** Frame kind and the exact length of a right answer. All of them may be replayed: none changes anything in the token. */
export const OPERATIONS: Readonly<Record<OperationName, { readonly kind: Kind; readonly answer: number }>> = {
  hmac: { kind: KIND.HMAC, answer: 32 },
  /** As `hmac`, and afterwards the key's known answer is right on the same session. */
  sealing: { kind: KIND.SEAL, answer: 32 },
  'known-answer': { kind: KIND.ANSWER, answer: KNOWN_ANSWER_LENGTH },
  'check-value': { kind: KIND.KCV, answer: KCV_LENGTH },
  wrap: { kind: KIND.WRAP, answer: WRAPPED_LENGTH },
  unwrap: { kind: KIND.UNWRAP, answer: NONCES_LENGTH },
  bind: { kind: KIND.BIND, answer: 0 },
  ping: { kind: KIND.PING, answer: 0 },
}

/** One operation of a caller, from submission until its promise is settled and its agent has let go of it. */
export interface PoolRequest {
  readonly id: number
  readonly name: OperationName
  readonly role: Role
  readonly label: string
  /** The frame's payload: a copy, wiped when the request settles. */
  readonly payload: Buffer
  readonly submittedAt: number
  readonly deadlineAt: number
  startedAt: number
  slowReported: boolean
  replays: number
  /** The life of an agent that must not get it again. */
  avoid: object | undefined
  /** Only this life of an agent may get it (probes). */
  readonly only: object | undefined
  /** Told who answered; a record that an agent refuses to open is an answer. */
  readonly answeredBy: ((life: AgentLife) => void) | undefined
  readonly moves?: ((error: HsmError) => boolean) | undefined
  readonly elsewhere?: (() => boolean) | undefined
  /** Set once: the caller has its answer. */
  settled: boolean
  readonly resolve: (bytes: Buffer) => void
  readonly reject: (error: unknown) => void
  /** Removes the listener from the caller's signal. */
  release: () => void
}

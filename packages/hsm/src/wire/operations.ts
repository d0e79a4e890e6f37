import { KNOWN_ANSWER_LENGTH } from '../contract.js'
import { KCV_LENGTH, NONCES_LENGTH, WRAPPED_LENGTH } from '../inputs.js'
import { KIND, type Kind } from './frames.js'

export type OperationName = 'hmac' | 'sealing' | 'check-value' | 'known-answer' | 'wrap' | 'unwrap' | 'bind' | 'ping'

/**
 * Frame kind and the exact length of a right answer. All of them may be replayed: none changes anything in the token.
 */
export const OPERATION_FRAMES: Readonly<Record<OperationName, { readonly kind: Kind; readonly answer: number }>> = {
  hmac: { kind: KIND.HMAC, answer: 32 },
  /** As `hmac`, and afterwards the key's known answer must be right on the same session. */
  sealing: { kind: KIND.SEAL, answer: 32 },
  'known-answer': { kind: KIND.ANSWER, answer: KNOWN_ANSWER_LENGTH },
  'check-value': { kind: KIND.KCV, answer: KCV_LENGTH },
  wrap: { kind: KIND.WRAP, answer: WRAPPED_LENGTH },
  unwrap: { kind: KIND.UNWRAP, answer: NONCES_LENGTH },
  bind: { kind: KIND.BIND, answer: 0 },
  ping: { kind: KIND.PING, answer: 0 },
}

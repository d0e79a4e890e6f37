import { permanent } from './permanent.js'
import type { FailureEntry } from './terms.js'

/** Actions that need operators, and faults of their requests and signatures. */
export const OPERATORS_REQUEST = {
  REQUEST_NEEDED: permanent(
    'security',
    1,
    'What was asked for needs a request that operators have signed.',
    'Run the same command without `--request` to make one, have it signed, and run it again with `--request ID`.',
  ),
  REQUEST_EXPIRED: permanent(
    'security',
    1,
    'The request has expired before it was used.',
    'Make a new request, and have it signed within its time.',
  ),
  REQUEST_USED: permanent(
    'security',
    1,
    'The request was used before; each is good for one deed.',
    'Look at what was done with it; make a new request if something else is wanted.',
  ),
  REQUEST_CANCELLED: permanent(
    'security',
    1,
    'The request was cancelled.',
    'Ask who cancelled it; make a new request if the deed is still wanted.',
  ),
  REQUEST_UNSIGNED: permanent(
    'security',
    1,
    'The request lacks signatures that count.',
    'Have more operators sign it; the message says how many are missing.',
  ),
  REQUEST_MISMATCH: permanent(
    'security',
    1,
    'What was signed is not what is to be done.',
    'Name the request that was signed for this very deed, or have a new one signed.',
  ),
  SIGNATURE_INVALID: permanent(
    'security',
    1,
    'The signature is not this operator’s over this request.',
    'Sign the body of this very request, label included, with the key that was enrolled.',
  ),
  OPERATOR_UNKNOWN: permanent(
    'security',
    4,
    'No operator of that name or id was enrolled.',
    'See `npx sealfleet operators list`.',
  ),
  OPERATOR_REVOKED: permanent(
    'security',
    1,
    'The operator was revoked and cannot sign any more.',
    'Have another officer sign.',
  ),
  OPERATOR_TWICE: permanent(
    'security',
    1,
    'The operator has signed this request already.',
    'Have another operator sign: two signatures of one person are one.',
  ),
  OPERATOR_ROLE: permanent(
    'security',
    1,
    'The operator’s role may not sign requests of this kind.',
    'Have an officer sign.',
  ),
  OPERATOR_NEEDED: permanent(
    'security',
    1,
    'Fewer than two officers would be left.',
    'Enrol a successor first: `npx sealfleet operators add`.',
  ),
} as const satisfies Record<string, FailureEntry>

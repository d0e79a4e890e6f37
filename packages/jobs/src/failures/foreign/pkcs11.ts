import { textOf, type ErrorNode } from '../chain.js'
import type { FailureCode } from '../list.js'

/** Return values of PKCS#11 by what they mean for a job; the pool has already retried what can be retried. */
const BY_CODE: readonly (readonly [FailureCode, readonly number[]])[] = [
  ['HSM_BUSY', [0x06, 0x31, 0xb1]],
  ['HSM_SESSION_LOST', [0xb3, 0xb0, 0x90, 0x91, 0x50, 0x150, 0x101, 0x60, 0x82, 0x65]],
  ['HSM_ACCESS_DENIED', [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0x102, 0x103, 0x104]],
  [
    'HSM_ACCESS_DENIED',
    [0x70, 0x71, 0x62, 0x63, 0x68, 0xd0, 0xd1, 0x10, 0x11, 0x12, 0x13, 0x1b, 0xb5, 0x07, 0x54, 0x6a],
  ],
  ['E_NONCE_UNWRAP', [0x20, 0x21, 0x40, 0x41, 0xc0, 0xc1]],
]
const CODES = new Map(BY_CODE.flatMap(([failure, codes]) => codes.map((code) => [code, failure] as const)))

const GENERAL_ERROR = 0x05

/** Errors of pkcs11js: by number, which some of them carry only in the message (`CKR_PIN_INCORRECT:160`). */
export function pkcs11Failure(node: ErrorNode): FailureCode | undefined {
  const name = textOf(node, 'name')
  const message = textOf(node, 'message')
  if (name !== 'Pkcs11Error' && name !== 'NativeError' && !message.startsWith('CKR_')) return undefined
  const number =
    typeof node['code'] === 'number' && node['code'] !== 0 ? node['code'] : Number(/^CKR_\w+:(\d+)/.exec(message)?.[1])
  // A bad GCM tag is a general error on SoftHSM: there it speaks of the data and not of the device.
  if (number === GENERAL_ERROR && textOf(node, 'method').startsWith('C_Decrypt')) return 'E_NONCE_UNWRAP'
  return CODES.get(number) ?? 'HSM_UNAVAILABLE'
}

import { CKR } from './ckr.js'

/**
 * What to do about a return value: the whole policy of the pool as data. One row a class; a code stands in exactly one row
 * (a test says so). Vendor profiles move single codes to another row.
 *
 * - `fine`           treat as success
 * - `retry`          the same session, after 50–400 ms, three times; then a new session once
 * - `session`        replace the session and retry once; two sessions within a second: reopen all
 * - `rebind`         log in if need be, find the key again, compare its check value, retry once
 * - `general`        replace the session and retry once; the second time in 30 s as `recycle`
 * - `recycle`        answer from the other agent; this one is replaced
 * - `capacity`       serve with the sessions that opened, and alert
 * - `login`          fatal: no retry, latch the PIN, page
 * - `configuration`  fatal: HSM_ACCESS_DENIED; intake pauses, page
 * - `data`           integrity failure of that one record
 */
export const ERROR_CLASSES = [
  'fine',
  'retry',
  'session',
  'rebind',
  'general',
  'recycle',
  'capacity',
  'login',
  'configuration',
  'data',
] as const
export type ErrorClass = (typeof ERROR_CLASSES)[number]

export const ERROR_TABLE: Readonly<Record<ErrorClass, readonly number[]>> = {
  fine: [CKR.USER_ALREADY_LOGGED_IN, CKR.CRYPTOKI_ALREADY_INITIALIZED],
  // AWS CloudHSM answers FUNCTION_FAILED for "busy".
  retry: [CKR.FUNCTION_FAILED, CKR.HOST_MEMORY, CKR.DEVICE_MEMORY, CKR.TOKEN_RESOURCE_EXCEEDED],
  session: [
    CKR.SESSION_HANDLE_INVALID,
    CKR.SESSION_CLOSED,
    CKR.OPERATION_ACTIVE,
    CKR.OPERATION_NOT_INITIALIZED,
    CKR.FUNCTION_CANCELED,
    CKR.BUFFER_TOO_SMALL,
    CKR.OPERATION_CANCEL_FAILED,
  ],
  // A stale key handle is 0x82 on SoftHSM and 0x60 on others; a lost login looks the same.
  rebind: [CKR.USER_NOT_LOGGED_IN, CKR.KEY_HANDLE_INVALID, CKR.OBJECT_HANDLE_INVALID, CKR.KEY_CHANGED],
  general: [CKR.GENERAL_ERROR],
  recycle: [
    CKR.CRYPTOKI_NOT_INITIALIZED,
    CKR.DEVICE_ERROR,
    CKR.DEVICE_REMOVED,
    CKR.TOKEN_NOT_PRESENT,
    CKR.TOKEN_NOT_RECOGNIZED,
    CKR.SLOT_ID_INVALID,
    CKR.CANT_LOCK,
    CKR.MUTEX_BAD,
    CKR.MUTEX_NOT_LOCKED,
  ],
  capacity: [CKR.SESSION_COUNT],
  login: [
    CKR.PIN_INCORRECT,
    CKR.PIN_INVALID,
    CKR.PIN_LEN_RANGE,
    CKR.PIN_EXPIRED,
    CKR.PIN_LOCKED,
    CKR.USER_PIN_NOT_INITIALIZED,
    CKR.USER_TYPE_INVALID,
    CKR.USER_ANOTHER_ALREADY_LOGGED_IN,
  ],
  configuration: [
    CKR.MECHANISM_INVALID,
    CKR.MECHANISM_PARAM_INVALID,
    CKR.KEY_SIZE_RANGE,
    CKR.KEY_TYPE_INCONSISTENT,
    CKR.KEY_FUNCTION_NOT_PERMITTED,
    CKR.TEMPLATE_INCOMPLETE,
    CKR.TEMPLATE_INCONSISTENT,
    CKR.ATTRIBUTE_READ_ONLY,
    CKR.ATTRIBUTE_SENSITIVE,
    CKR.ATTRIBUTE_TYPE_INVALID,
    CKR.ATTRIBUTE_VALUE_INVALID,
    CKR.ACTION_PROHIBITED,
    CKR.SESSION_READ_ONLY,
    CKR.ARGUMENTS_BAD,
    CKR.FUNCTION_NOT_SUPPORTED,
    CKR.KEY_UNEXTRACTABLE,
  ],
  data: [
    CKR.DATA_INVALID,
    CKR.DATA_LEN_RANGE,
    CKR.ENCRYPTED_DATA_INVALID,
    CKR.ENCRYPTED_DATA_LEN_RANGE,
    CKR.AEAD_DECRYPT_FAILED,
    CKR.SIGNATURE_INVALID,
    CKR.SIGNATURE_LEN_RANGE,
  ],
}

const BY_CODE: ReadonlyMap<number, ErrorClass> = new Map(
  ERROR_CLASSES.flatMap((name) => ERROR_TABLE[name].map((code) => [code, name] as const)),
)

/** One code (of one function, where named) that a vendor means differently. */
export interface ProfileRow {
  readonly code: number
  readonly fn?: string
  readonly class: ErrorClass
}

/**
 * The class of a return value. `fn` is the Cryptoki function that returned it: GENERAL_ERROR from C_Decrypt is a bad tag
 * (seen on SoftHSM), not a device fault. Codes without a row, vendor-defined ones among them, are `general`.
 */
export function classifyCkr(code: number, fn: string, profile: readonly ProfileRow[] = []): ErrorClass {
  for (const row of profile) {
    if (row.code === code && (row.fn === undefined || row.fn === fn)) return row.class
  }
  if (code === CKR.GENERAL_ERROR && fn === 'C_Decrypt') return 'data'
  return BY_CODE.get(code) ?? 'general'
}

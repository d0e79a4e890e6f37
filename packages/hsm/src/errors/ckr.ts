/**
 * The return values of PKCS#11 v2.40 and v3.0 by number. Our own table, since bindings leave constants undefined
 * (`CKR_ACTION_PROHIBITED` is missing in pkcs11js 2.1) and a comparison with `undefined` is never true and never noticed.
 * Source: OASIS pkcs11t.h, v2.40 errata 01 and v3.0.
 */
export const CKR = {
  OK: 0x000,
  CANCEL: 0x001,
  HOST_MEMORY: 0x002,
  SLOT_ID_INVALID: 0x003,
  GENERAL_ERROR: 0x005,
  FUNCTION_FAILED: 0x006,
  ARGUMENTS_BAD: 0x007,
  NO_EVENT: 0x008,
  NEED_TO_CREATE_THREADS: 0x009,
  CANT_LOCK: 0x00a,
  ATTRIBUTE_READ_ONLY: 0x010,
  ATTRIBUTE_SENSITIVE: 0x011,
  ATTRIBUTE_TYPE_INVALID: 0x012,
  ATTRIBUTE_VALUE_INVALID: 0x013,
  ACTION_PROHIBITED: 0x01b,
  DATA_INVALID: 0x020,
  DATA_LEN_RANGE: 0x021,
  DEVICE_ERROR: 0x030,
  DEVICE_MEMORY: 0x031,
  DEVICE_REMOVED: 0x032,
  ENCRYPTED_DATA_INVALID: 0x040,
  ENCRYPTED_DATA_LEN_RANGE: 0x041,
  AEAD_DECRYPT_FAILED: 0x042,
  FUNCTION_CANCELED: 0x050,
  FUNCTION_NOT_PARALLEL: 0x051,
  FUNCTION_NOT_SUPPORTED: 0x054,
  KEY_HANDLE_INVALID: 0x060,
  KEY_SIZE_RANGE: 0x062,
  KEY_TYPE_INCONSISTENT: 0x063,
  KEY_NOT_NEEDED: 0x064,
  KEY_CHANGED: 0x065,
  KEY_NEEDED: 0x066,
  KEY_INDIGESTIBLE: 0x067,
  KEY_FUNCTION_NOT_PERMITTED: 0x068,
  KEY_NOT_WRAPPABLE: 0x069,
  KEY_UNEXTRACTABLE: 0x06a,
  MECHANISM_INVALID: 0x070,
  MECHANISM_PARAM_INVALID: 0x071,
  OBJECT_HANDLE_INVALID: 0x082,
  OPERATION_ACTIVE: 0x090,
  OPERATION_NOT_INITIALIZED: 0x091,
  PIN_INCORRECT: 0x0a0,
  PIN_INVALID: 0x0a1,
  PIN_LEN_RANGE: 0x0a2,
  PIN_EXPIRED: 0x0a3,
  PIN_LOCKED: 0x0a4,
  SESSION_CLOSED: 0x0b0,
  SESSION_COUNT: 0x0b1,
  SESSION_HANDLE_INVALID: 0x0b3,
  SESSION_PARALLEL_NOT_SUPPORTED: 0x0b4,
  SESSION_READ_ONLY: 0x0b5,
  SESSION_EXISTS: 0x0b6,
  SESSION_READ_ONLY_EXISTS: 0x0b7,
  SESSION_READ_WRITE_SO_EXISTS: 0x0b8,
  SIGNATURE_INVALID: 0x0c0,
  SIGNATURE_LEN_RANGE: 0x0c1,
  TEMPLATE_INCOMPLETE: 0x0d0,
  TEMPLATE_INCONSISTENT: 0x0d1,
  TOKEN_NOT_PRESENT: 0x0e0,
  TOKEN_NOT_RECOGNIZED: 0x0e1,
  TOKEN_WRITE_PROTECTED: 0x0e2,
  UNWRAPPING_KEY_HANDLE_INVALID: 0x0f0,
  UNWRAPPING_KEY_SIZE_RANGE: 0x0f1,
  UNWRAPPING_KEY_TYPE_INCONSISTENT: 0x0f2,
  USER_ALREADY_LOGGED_IN: 0x100,
  USER_NOT_LOGGED_IN: 0x101,
  USER_PIN_NOT_INITIALIZED: 0x102,
  USER_TYPE_INVALID: 0x103,
  USER_ANOTHER_ALREADY_LOGGED_IN: 0x104,
  USER_TOO_MANY_TYPES: 0x105,
  WRAPPED_KEY_INVALID: 0x110,
  WRAPPED_KEY_LEN_RANGE: 0x112,
  WRAPPING_KEY_HANDLE_INVALID: 0x113,
  WRAPPING_KEY_SIZE_RANGE: 0x114,
  WRAPPING_KEY_TYPE_INCONSISTENT: 0x115,
  RANDOM_SEED_NOT_SUPPORTED: 0x120,
  RANDOM_NO_RNG: 0x121,
  DOMAIN_PARAMS_INVALID: 0x130,
  CURVE_NOT_SUPPORTED: 0x140,
  BUFFER_TOO_SMALL: 0x150,
  SAVED_STATE_INVALID: 0x160,
  INFORMATION_SENSITIVE: 0x170,
  STATE_UNSAVEABLE: 0x180,
  CRYPTOKI_NOT_INITIALIZED: 0x190,
  CRYPTOKI_ALREADY_INITIALIZED: 0x191,
  MUTEX_BAD: 0x1a0,
  MUTEX_NOT_LOCKED: 0x1a1,
  NEW_PIN_MODE: 0x1b0,
  NEXT_OTP: 0x1b1,
  EXCEEDED_MAX_ITERATIONS: 0x1b5,
  FIPS_SELF_TEST_FAILED: 0x1b6,
  LIBRARY_LOAD_FAILED: 0x1b7,
  PIN_TOO_WEAK: 0x1b8,
  PUBLIC_KEY_INVALID: 0x1b9,
  FUNCTION_REJECTED: 0x200,
  TOKEN_RESOURCE_EXCEEDED: 0x201,
  OPERATION_CANCEL_FAILED: 0x202,
  VENDOR_DEFINED: 0x80000000,
} as const

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(CKR).map(([name, code]) => [code, `CKR_${name}`]))

/** `CKR_DEVICE_ERROR (0x30)`; a number without a name prints as `CKR 0x8001…`. */
export function ckrName(code: number): string {
  const hex = `0x${code.toString(16)}`
  const name = NAMES.get(code)
  return name === undefined ? `CKR ${hex}` : `${name} (${hex})`
}

/**
 * The number of a PKCS#11 failure thrown by the binding, or undefined when the error is of another kind (a library that
 * does not load, a wrong argument). The binding keeps it in `code`; some errors carry it only in the text `CKR_X:48`.
 */
export function ckrOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  const code: unknown = 'code' in error ? error.code : undefined
  if (typeof code === 'number' && Number.isSafeInteger(code) && code > 0) return code
  const match = /CKR_\w+:(\d+)/.exec(error.message)
  return match?.[1] === undefined ? undefined : Number(match[1])
}

/** Numbers of pkcs11t.h that we use. A table of our own, for the reason given in errors/ckr.ts. */
export const CKM = {
  GENERIC_SECRET_KEY_GEN: 0x350,
  SHA256_HMAC: 0x251,
  AES_KEY_GEN: 0x1080,
  AES_CBC_PAD: 0x1085,
  AES_GCM: 0x1087,
  AES_KEY_WRAP: 0x2109,
  AES_KEY_WRAP_PAD: 0x210a,
  AES_KEY_WRAP_KWP: 0x210b,
} as const

export const CKA = {
  CLASS: 0x000,
  TOKEN: 0x001,
  PRIVATE: 0x002,
  LABEL: 0x003,
  VALUE: 0x011,
  KEY_TYPE: 0x100,
  ID: 0x102,
  SENSITIVE: 0x103,
  ENCRYPT: 0x104,
  DECRYPT: 0x105,
  WRAP: 0x106,
  UNWRAP: 0x107,
  SIGN: 0x108,
  VERIFY: 0x10a,
  DERIVE: 0x10c,
  VALUE_LEN: 0x161,
  EXTRACTABLE: 0x162,
  LOCAL: 0x163,
  NEVER_EXTRACTABLE: 0x164,
  ALWAYS_SENSITIVE: 0x165,
  KEY_GEN_MECHANISM: 0x166,
  MODIFIABLE: 0x170,
  COPYABLE: 0x171,
  DESTROYABLE: 0x172,
  ALLOWED_MECHANISMS: 0x40000600,
} as const

export const CKO_SECRET_KEY = 4
export const CKK_GENERIC_SECRET = 0x10
export const CKK_AES = 0x1f
export const CKU_USER = 1

export const CKF = {
  RW_SESSION: 0x2,
  SERIAL_SESSION: 0x4,
  OS_LOCKING_OK: 0x2,
  PROTECTED_AUTHENTICATION_PATH: 0x100,
  USER_PIN_FINAL_TRY: 0x20000,
  USER_PIN_LOCKED: 0x40000,
  TOKEN_INITIALIZED: 0x400,
} as const

/** CK_STATE values with the user logged in. */
export const USER_STATES: readonly number[] = [1, 3]

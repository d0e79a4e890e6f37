import { CKR } from './ckr.js'
import type { ErrorClass, ProfileRow, VendorProfile } from './classes.js'

/**
 * The action for every return value: the whole policy of the pool as data. One row per class; a code stands in exactly
 * one row (a test checks this). Below the table, the vendors' deviations; the look-up is in classify.ts.
 */
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

/** GENERAL_ERROR from C_Decrypt is a bad tag (seen on SoftHSM), not a device fault. */
export const BY_FUNCTION: readonly ProfileRow[] = [
  { class: 'data', code: CKR.GENERAL_ERROR, name: 'CKR_GENERAL_ERROR', fn: 'C_Decrypt' },
]

type Row = readonly [ErrorClass, code: number, name: string, fn?: string]

function rows(...all: readonly Row[]): readonly ProfileRow[] {
  return all.map(([errorClass, code, name, fn]) => ({
    class: errorClass,
    code,
    name,
    ...(fn === undefined ? {} : { fn }),
  }))
}

/** The first match is taken. A code stands here only if a public document of the vendor, or its source, has it. */
export const VENDORS: readonly VendorProfile[] = [
  {
    name: 'softhsm',
    title: 'SoftHSM 2',
    match: [{ manufacturer: /^SoftHSM project$/ }],
    tried: true,
    source: 'SoftHSM 2.6.1, by the tests',
    rows: [],
    notes: ['A token whose directory went away is found again only by a new C_Initialize: the agent is replaced.'],
  },
  {
    name: 'opencryptoki',
    title: 'opencryptoki',
    match: [{ manufacturer: /^IBM/ }],
    tried: true,
    source: 'opencryptoki 3.8.1 (software token), by the tests; usr/lib/ep11_stdll/ep11_specific.c for CKR_IBM_…',
    // Newer versions translate these themselves (ep11_error_to_pkcs11_error), to the same classes.
    rows: rows(
      ['recycle', 0x8001_0001, 'CKR_IBM_WKID_MISMATCH'],
      ['retry', 0x8001_0002, 'CKR_IBM_INTERNAL_ERROR'],
      ['retry', 0x8001_0003, 'CKR_IBM_TRANSPORT_ERROR'],
      ['recycle', 0x8001_0009, 'CKR_IBM_WK_NOT_INITIALIZED'],
      ['retry', 0x8001_000a, 'CKR_IBM_OA_API_ERROR'],
      ['retry', 0x8001_000b, 'CKR_IBM_REQ_TIMEOUT'],
      ['configuration', 0x8001_000c, 'CKR_IBM_READONLY'],
      ['configuration', 0x8001_000d, 'CKR_IBM_STATIC_POLICY'],
      ['retry', 0x8001_0010, 'CKR_IBM_TRANSPORT_LIMIT'],
    ),
    notes: ['The software token has no AES-GCM: inline nonces only.'],
  },
  {
    name: 'nss',
    title: 'NSS softokn',
    match: [{ manufacturer: /^Mozilla Foundation$/ }],
    tried: true,
    source: 'NSS 3.87, by the tests; lib/util/pkcs11n.h for CKR_NSS_…',
    rows: rows(['recycle', 0xce53_4351, 'CKR_NSS_CERTDB_FAILED'], ['recycle', 0xce53_4352, 'CKR_NSS_KEYDB_FAILED']),
    // It answers GENERAL_ERROR to it (3.87).
    allowedMechanisms: false,
    notes: [
      'For trying things out only: it exports keys that it calls not extractable, and crashes after a lost login.',
    ],
  },
  {
    name: 'aws-cloudhsm',
    title: 'AWS CloudHSM',
    // By what `cluster hsm-info` calls the vendor, too: AWS documents no manufacturer id.
    match: [{ library: /CloudHSM/i }, { manufacturer: /^(?:Cavium|Marvell)/ }],
    tried: false,
    source: 'AWS CloudHSM User Guide: known issues of the PKCS #11 library, HSM throttling, mechanism annotations',
    rows: rows(
      // "Busy": Client SDK 5 and 3. FUNCTION_FAILED is retried for all vendors.
      ['retry', CKR.FUNCTION_FAILED, 'CKR_FUNCTION_FAILED'],
      ['retry', CKR.OPERATION_ACTIVE, 'CKR_OPERATION_ACTIVE'],
      ['retry', CKR.DEVICE_ERROR, 'CKR_DEVICE_ERROR', 'C_GetAttributeValue'],
    ),
    sessions: 'read-write',
    gcmIv: 'from-token',
    notes: [
      'Client SDK 5 refuses read-only sessions, so the pool opens read-write ones.',
      'AES-GCM encrypts under an IV of the HSM only: inline nonces only.',
      'The PIN is USER:PASSWORD of a crypto user.',
    ],
  },
  {
    name: 'luna',
    title: 'Thales Luna',
    match: [{ library: /^Chrystoki/ }],
    tried: false,
    source: 'cryptoki_v2.h of the Luna client SDK (CKR_VENDOR_DEFINED + n); Luna documentation on HA recovery',
    rows: rows(
      ['recycle', 0x8000_0005, 'CKR_CONTAINER_HANDLE_INVALID'],
      ['login', 0x8000_0007, 'CKR_USER_LOCKED_OUT'],
      ['recycle', 0x8000_000c, 'CKR_ACCEL_DEVICE_ERROR'],
      ['rebind', 0x8000_001a, 'CKR_USER_NOT_AUTHORIZED'],
      ['configuration', 0x8000_001b, 'CKR_MAX_OBJECT_COUNT_EXCEEDED'],
      ['recycle', 0x8000_001f, 'CKR_UNABLE_TO_CONNECT'],
      ['configuration', 0x8000_0020, 'CKR_PARTITION_DISABLED'],
      ['recycle', 0x8000_0023, 'CKR_SP_TIMEOUT'],
      ['recycle', 0x8000_0024, 'CKR_TIMEOUT'],
      ['configuration', 0x8000_0026, 'CKR_MTK_ZEROIZED'],
      ['configuration', 0x8000_002a, 'CKR_HSM_STORAGE_FULL'],
      ['recycle', 0x8000_002b, 'CKR_DEVICE_TIMEOUT'],
      ['configuration', 0x8000_002c, 'CKR_CONTAINER_OBJECT_STORAGE_FULL'],
      ['configuration', 0x8000_002d, 'CKR_PED_CLIENT_NOT_RUNNING'],
      ['configuration', 0x8000_002e, 'CKR_PED_UNPLUGGED'],
      ['configuration', 0x8000_0030, 'CKR_OPERATION_NOT_ALLOWED'],
      ['configuration', 0x8000_0031, 'CKR_LICENSE_CAPACITY_EXCEEDED'],
      ['configuration', 0x8000_0035, 'CKR_LOG_FULL'],
      ['retry', 0x8000_0041, 'CKR_AGAIN'],
      // The secure trusted channel is broken; only a new process makes another.
      ['recycle', 0x8000_004f, 'CKR_STC_NO_SESSION_KEY'],
      ['recycle', 0x8000_0050, 'CKR_STC_RESPONSE_BAD_MAC'],
      ['recycle', 0x8000_0053, 'CKR_STC_SESSION_INVALID'],
      ['recycle', 0x8000_0055, 'CKR_STC_SEQUENCE_NUM_INVALID'],
      ['recycle', 0x8000_0056, 'CKR_STC_NO_CHANNEL'],
      ['recycle', 0x8000_0057, 'CKR_STC_RESPONSE_DECRYPT_ERROR'],
      ['recycle', 0x8000_0058, 'CKR_STC_RESPONSE_REPLAYED'],
      // The PIN of a partition with PED authentication: one more counts towards a lock.
      ['login', 0x8000_0067, 'CKR_CHALLENGE_INCORRECT'],
      ['configuration', 0x8000_006e, 'CKR_CMD_NOT_ALLOWED_HSM_IN_TRANSPORT'],
      ['configuration', 0x8000_0076, 'CKR_HSM_TAMPERED'],
      ['session', 0x8000_0078, 'CKR_SESSION_CONTEXT_NOT_ALLOCATED'],
      ['configuration', 0x8000_008d, 'CKR_HSM_RESTART_REQUIRED'],
      ['configuration', 0x8000_0136, 'CKR_KEY_NOT_ACTIVE'],
    ),
    notes: ['When all members of an HA group were lost, only a new C_Initialize recovers: the agent is replaced.'],
  },
  {
    name: 'nshield',
    title: 'Entrust nShield',
    match: [{ manufacturer: /^nCipher Corp\. Ltd$/ }],
    tried: false,
    source: 'pkcs11extra.h of nCipher (CKR_VENDOR_DEFINED | standard code); Security World documentation',
    // In a strict FIPS world some operations need a card: only the card helps.
    rows: rows(
      ['configuration', 0x8000_0054, 'CKR_FIPS_FUNCTION_NOT_SUPPORTED'],
      ['configuration', 0x8000_0070, 'CKR_FIPS_MECHANISM_INVALID'],
      ['configuration', 0x8000_00d1, 'CKR_FIPS_TEMPLATE_INCONSISTENT'],
      ['configuration', 0x8000_00e0, 'CKR_FIPS_TOKEN_NOT_PRESENT'],
    ),
    // CKM_NC_SHA256_HMAC_KEY_GEN, CKK_SHA256_HMAC: "Spec inconsistently allows HMAC with generic secret keys; we
    // don't."
    signingKey: { mechanism: 0xde43_6997, keyType: 0x2b },
    notes: [
      'Set CKNFAST_ASSUME_SINGLE_PROCESS=0 (cknfastrc): without it agents do not see keys made after they started.',
      'When the last card of a card set is removed, the library closes all sessions.',
    ],
  },
  {
    name: 'yubihsm2',
    title: 'YubiHSM 2',
    match: [{ manufacturer: /^Yubico/, model: /^YubiHSM/ }],
    tried: false,
    source: 'yubihsm-shell, pkcs11/util_pkcs11.c (yrc_to_rv, parse_hmac_template)',
    rows: rows(
      // The audit log or the flash is full: sessions are not the cause.
      ['configuration', CKR.DEVICE_MEMORY, 'CKR_DEVICE_MEMORY'],
      // Capabilities, a disabled algorithm.
      ['configuration', CKR.FUNCTION_REJECTED, 'CKR_FUNCTION_REJECTED'],
      // The encrypted session with the device is broken; the device decrypts none of our data.
      ['recycle', CKR.ENCRYPTED_DATA_INVALID, 'CKR_ENCRYPTED_DATA_INVALID'],
    ),
    signingKey: { mechanism: 0x350, keyType: 0x2b },
    notes: [
      'No AES-GCM: inline nonces only.',
      'At most 16 sessions with the device, all users together.',
      'A full audit log stops every operation until it is read out.',
    ],
  },
]

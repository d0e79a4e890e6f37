import type { Suite } from '@sealfleet/format'
import { RecordsError } from '../db/errors.js'
import type { Prisma } from '../generated/client.js'
import { domainFromUuid } from '../db/ids.js'
import { bytesOf, damaged, numberOf, textOf } from '../rows/damaged.js'
import type { AttemptRow, CommittedAttempt } from '../db/terms.js'

/** The columns of a RawAttempt: everything but nonces and tags. */
export const ATTEMPT_SELECT = {
  id: true,
  fileId: true,
  domainId: true,
  attemptNo: true,
  generation: true,
  state: true,
  owner: true,
  suite: true,
  segLog2: true,
  encKey: { select: { version: true } },
  sigKey: { select: { version: true } },
  kekKey: { select: { version: true } },
  bucket: true,
  objectKey: true,
  objectVersion: true,
  etag: true,
  objectLength: true,
  plaintextLength: true,
  failureCode: true,
  openedAt: true,
  endedAt: true,
} as const satisfies Prisma.AttemptSelect

/** An attempt as Prisma reads it with the versions of its keys. */
export type RawAttempt = Prisma.AttemptGetPayload<{ select: typeof ATTEMPT_SELECT }>

/**
 * No real version is 0: lists and traces show it where a database restored without its constraints names a missing key.
 */
const UNKNOWN_KEY = 0

export function attemptRow(raw: RawAttempt): AttemptRow {
  return {
    id: raw.id,
    fileId: raw.fileId,
    attemptNo: raw.attemptNo,
    generation: raw.generation,
    state: raw.state,
    owner: raw.owner,
    suite: raw.suite as Suite,
    segLog2: raw.segLog2,
    domain: domainFromUuid(raw.domainId),
    encKeyVersion: raw.encKey?.version ?? UNKNOWN_KEY,
    sigKeyVersion: raw.sigKey?.version ?? UNKNOWN_KEY,
    kekVersion: raw.kekKey?.version ?? null,
    bucket: raw.bucket,
    objectKey: raw.objectKey,
    objectVersion: raw.objectVersion,
    etag: raw.etag,
    objectLength: raw.objectLength === null ? null : Number(raw.objectLength),
    plaintextLength: raw.plaintextLength === null ? null : Number(raw.plaintextLength),
    failureCode: raw.failureCode,
    openedAt: raw.openedAt,
    endedAt: raw.endedAt,
  }
}

/** With nonces and tags too: for the one attempt that a reader opens. */
export const COMMITTED_SELECT = {
  ...ATTEMPT_SELECT,
  nonceEnc: true,
  nonceSig: true,
  wrappedNonces: true,
  htag: true,
  fmac: true,
  objectSha256: true,
} as const satisfies Prisma.AttemptSelect

export type RawCommitted = Prisma.AttemptGetPayload<{ select: typeof COMMITTED_SELECT }>

/**
 * @throws RecordsError E_KEY_UNKNOWN: it names a master key that is not registered; RECORD_DAMAGED: constraints forbid
 * such a row
 */
export function committedAttempt(raw: RawCommitted): CommittedAttempt {
  const row = attemptRow(raw)
  const { fileId } = raw
  const at = (column: string) => ({ fileId, column: `attempts.${column}` })
  numberOf(raw.attemptNo, { ...at('attempt_no'), from: 1 })
  numberOf(raw.suite, { ...at('suite'), from: 1, to: 2 })
  const nonces = inlineNonces(raw)
  const { wrappedNonces } = raw
  if (nonces !== null && wrappedNonces !== null)
    throw damaged(fileId, 'attempts.wrapped_nonces', 'stands beside attempts.nonce_enc')
  for (const [key, role] of [
    [raw.encKey, 'encryption'],
    [raw.sigKey, 'signing'],
    [raw.wrappedNonces === null || raw.kekKey, 'key-encryption'],
  ] as const) {
    if (key === null) throw new RecordsError('E_KEY_UNKNOWN', `the record names a ${role} key that is not registered`)
  }
  numberOf(raw.segLog2, { ...at('seg_log2'), from: 16, to: 24 })
  textOf(raw.bucket, fileId, 'attempts.bucket')
  textOf(raw.objectKey, fileId, 'attempts.object_key')
  if ((raw.objectVersion ?? '') === '' && (raw.etag ?? '') === '')
    throw damaged(fileId, 'attempts.object_version', 'and attempts.etag have no value: nothing pins the object')
  return {
    ...row,
    objectLength: numberOf(raw.objectLength, { ...at('object_length'), from: 0 }),
    plaintextLength: numberOf(raw.plaintextLength, { ...at('plaintext_length'), from: 0 }),
    htag: bytesOf(raw.htag, { ...at('htag'), length: 32 }),
    fmac: bytesOf(raw.fmac, { ...at('fmac'), length: 32 }),
    objectSha256: raw.objectSha256 === null ? null : bytesOf(raw.objectSha256, { ...at('object_sha256'), length: 32 }),
    nonces,
    wrappedNonces:
      wrappedNonces === null
        ? null
        : {
            wrapped: bytesOf(wrappedNonces, { ...at('wrapped_nonces'), length: 92 }),
            kekVersion: numberOf(row.kekVersion, { ...at('kek_key_id'), from: 1 }),
          },
  }
}

/** Both or neither. */
function inlineNonces({ fileId, nonceEnc, nonceSig }: RawCommitted): CommittedAttempt['nonces'] {
  if (nonceEnc === null && nonceSig === null) return null
  const nonce = (value: Uint8Array | null, column: string) => bytesOf(value, { fileId, column, length: 32 })
  return { nonceEnc: nonce(nonceEnc, 'attempts.nonce_enc'), nonceSig: nonce(nonceSig, 'attempts.nonce_sig') }
}

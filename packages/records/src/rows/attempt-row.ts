import { RecordsError } from '../errors.js'
import { domainFromUuid } from '../ids.js'
import type { AttemptRow, AttemptState, CommittedAttempt, Suite } from '../terms.js'

/** An attempt as Prisma reads it with the versions of its keys. */
export interface RawAttempt {
  readonly id: string
  readonly fileId: string
  readonly domainId: string
  readonly attemptNo: number
  readonly generation: number
  readonly state: AttemptState
  readonly owner: string
  readonly suite: number
  readonly segLog2: number
  readonly encKey: { readonly version: number } | null
  readonly sigKey: { readonly version: number } | null
  readonly kekKey: { readonly version: number } | null
  readonly bucket: string
  readonly objectKey: string
  readonly objectVersion: string | null
  readonly etag: string | null
  readonly objectLength: bigint | null
  readonly plaintextLength: bigint | null
  readonly failureCode: string | null
  readonly openedAt: Date
  readonly endedAt: Date | null
}

/** What to select for a RawAttempt: everything but nonces and tags. */
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
} as const

/** No version is 0: lists and traces show it where a database restored without its constraints names a key that is not there. */
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
} as const

export interface RawCommitted extends RawAttempt {
  readonly nonceEnc: Uint8Array | null
  readonly nonceSig: Uint8Array | null
  readonly wrappedNonces: Uint8Array | null
  readonly htag: Uint8Array | null
  readonly fmac: Uint8Array | null
  readonly objectSha256: Uint8Array | null
}

/** @throws RecordsError E_KEY_UNKNOWN: it names a master key that is not registered */
export function committedAttempt(raw: RawCommitted): CommittedAttempt {
  const row = attemptRow(raw)
  for (const [key, role] of [
    [raw.encKey, 'encryption'],
    [raw.sigKey, 'signing'],
    [raw.wrappedNonces === null || raw.kekKey, 'key-encryption'],
  ] as const) {
    if (key === null) throw new RecordsError('E_KEY_UNKNOWN', `the record names a ${role} key that is not registered`)
  }
  const { nonceEnc, nonceSig, wrappedNonces } = raw
  return {
    ...row,
    objectLength: present(row.objectLength, 'object length'),
    plaintextLength: present(row.plaintextLength, 'plaintext length'),
    htag: Buffer.from(present(raw.htag, 'HTAG')),
    fmac: Buffer.from(present(raw.fmac, 'FMAC')),
    objectSha256: raw.objectSha256 === null ? null : Buffer.from(raw.objectSha256),
    nonces:
      nonceEnc !== null && nonceSig !== null
        ? { nonceEnc: Buffer.from(nonceEnc), nonceSig: Buffer.from(nonceSig) }
        : null,
    wrappedNonces:
      wrappedNonces === null
        ? null
        : { wrapped: Buffer.from(wrappedNonces), kekVersion: present(row.kekVersion, 'KEK version') },
  }
}

/** What a constraint of the database promises; a dump restored without them could break it. */
function present<T>(value: T | null, what: string): T {
  if (value === null) throw new TypeError(`the record lacks its ${what}, which a constraint forbids`)
  return value
}

import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'

/** The recorded fields of a new attempt, whatever lease it is made under. */
export interface NewAttempt {
  readonly attemptId: string
  readonly fileId: string
  readonly owner: string
  readonly attemptNo: number
  readonly encKeyId: string
  readonly sigKeyId: string
  /** Detached mode only. */
  readonly kekKeyId?: string | undefined
  /** Inline mode: both nonces, 32 bytes each. */
  readonly nonceEnc?: Uint8Array | undefined
  readonly nonceSig?: Uint8Array | undefined
  /** Detached mode: 92 bytes. */
  readonly wrappedNonces?: Uint8Array | undefined
  /** SHA-256(label `SFV1/nonce-id` ‖ nonce), in both modes. */
  readonly nonceIdEnc: Uint8Array
  readonly nonceIdSig: Uint8Array
  readonly suite: 1 | 2
  readonly segLog2: number
  readonly bucket: string
  /** `<domain>/<file id>/<attempt id>`, below a prefix if there is one. */
  readonly objectKey: string
  readonly sourceFingerprint?: Readonly<Record<string, string>> | undefined
}

/**
 * The common table expressions `usable` (its keys that are ACTIVE or DECRYPT_ONLY, locked against destruction) and
 * `opened` (its row). They follow one named `held(id, domain_id, generation)` that is empty unless the caller holds the
 * lease.
 */
export function newAttempt(input: NewAttempt): Prisma.Sql {
  const keyIds = [input.encKeyId, input.sigKeyId, ...(input.kekKeyId === undefined ? [] : [input.kekKeyId])].map((id) =>
    uuid(id, 'the key id'),
  )
  return Prisma.sql`usable AS MATERIALIZED (
      SELECT id FROM master_keys WHERE id::text IN (${Prisma.join(keyIds)}) AND state IN ('ACTIVE', 'DECRYPT_ONLY') FOR SHARE
    ), opened AS (
      INSERT INTO attempts (id, file_id, domain_id, attempt_no, generation, owner, suite, seg_log2, enc_key_id, sig_key_id,
        kek_key_id, nonce_enc, nonce_sig, wrapped_nonces, nonce_id_enc, nonce_id_sig, source_fingerprint, bucket, object_key)
      SELECT ${uuid(input.attemptId, 'the attempt id')}::uuid, held.id, held.domain_id, ${input.attemptNo}::int,
        held.generation, ${input.owner}, ${input.suite}::int, ${input.segLog2}::int, ${input.encKeyId}::uuid,
        ${input.sigKeyId}::uuid, ${input.kekKeyId ?? null}::uuid, ${bytes(input.nonceEnc)}::bytea,
        ${bytes(input.nonceSig)}::bytea, ${bytes(input.wrappedNonces)}::bytea, ${bytes(input.nonceIdEnc)}::bytea,
        ${bytes(input.nonceIdSig)}::bytea, ${JSON.stringify(input.sourceFingerprint ?? {})}::jsonb, ${input.bucket},
        ${input.objectKey}
      FROM held WHERE (SELECT count(*) FROM usable) = ${keyIds.length}::int
      RETURNING id
    )`
}

export interface OpenedAttempt {
  readonly held: boolean
  readonly opened: boolean
}

/** @throws RecordsError FENCED, NO_ACTIVE_KEY */
export function assertOpened(row: OpenedAttempt | undefined): void {
  if (row?.opened === true) return
  if (row?.held !== true) throw new RecordsError('FENCED', 'the lease on the file is not, or no longer, ours')
  throw new RecordsError('NO_ACTIVE_KEY', 'a master key of the attempt does not exist or may no longer seal', {
    fix: 'see `npx sealfleet keys list`',
  })
}

function bytes(value: Uint8Array | undefined): Buffer | null {
  return value === undefined ? null : Buffer.from(value)
}

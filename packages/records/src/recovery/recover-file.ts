import type { Suite } from '@sealfleet/format'
import { Prisma } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { commitEventDetail } from '../attempts/commit-event.js'
import type { FileSource } from '../db/terms.js'

/** An attempt as its object describes it: the header's tag authenticates everything here except the location. */
export interface RecoveredAttempt {
  readonly attemptId: string
  readonly attemptNo: number
  readonly suite: Suite
  readonly segLog2: number
  readonly encKeyId: string
  readonly sigKeyId: string
  readonly nonceEnc: Uint8Array
  readonly nonceSig: Uint8Array
  readonly nonceIdEnc: Uint8Array
  readonly nonceIdSig: Uint8Array
  readonly bucket: string
  readonly objectKey: string
  readonly objectVersion?: string | undefined
  readonly etag?: string | undefined
  readonly objectLength: number
  readonly plaintextLength: number
}

export interface FileRecovery {
  readonly fileId: string
  readonly domain: string
  readonly source: FileSource
  readonly context: Uint8Array
  readonly fingerprint: Uint8Array
  /** The highest known attempt number of the file. */
  readonly lastAttemptNo: number
  readonly storedAt: Date
  /** Written into the rows' `owner`: the process that made them. */
  readonly owner: string
  readonly committed: RecoveredAttempt & {
    readonly htag: Uint8Array
    readonly fmac: Uint8Array
    /** Every byte of it was just read and found authentic. */
    readonly verified: boolean
  }
  /**
   * Attempts that were not selected: their nonces count as used, and maintenance removes their data. `code`: why it is
   * not whole.
   */
  readonly others: readonly (RecoveredAttempt & { readonly code?: string | undefined })[]
}

/**
 * Writes the record of a file whose object was found: STORED, with all its attempts, in one statement (the file names
 * an attempt and each attempt its file). Its keys are locked FOR SHARE against destruction.
 *
 * exists: the file already has a record; no row was written. no-key: a key of the committed attempt has no record, or
 * is DESTROYED.
 * @throws RecordsError NONCE_REUSE or CONFLICT when another file's attempt has these nonces or this location, INVALID,
 * NOT_FOUND
 */
export async function recoverFile(db: Queryable, input: FileRecovery): Promise<'recovered' | 'exists' | 'no-key'> {
  const { committed, others } = input
  const fileId = uuid(input.fileId, 'the file id')
  const attempts = JSON.stringify([
    {
      ...columns(committed),
      state: 'COMMITTED',
      htag: hex(committed.htag),
      fmac: hex(committed.fmac),
      verified: committed.verified,
    },
    ...others.map((other) => ({
      ...columns(other),
      state: other.code === undefined ? 'ABANDONED' : 'FAILED',
      code: other.code ?? null,
      verified: false,
    })),
  ])
  const keyIds = [committed.encKeyId, committed.sigKeyId].map((id) => uuid(id, 'the key id'))
  const [row] = await db.query<{ usableKeys: number; recovered: boolean }>(Prisma.sql`
    WITH usable AS MATERIALIZED (
      SELECT id FROM master_keys WHERE id = ANY (${keyIds}::uuid[]) AND state <> 'DESTROYED' FOR SHARE
    ), file AS (
      INSERT INTO files (id, domain_id, state, source_root, source_path, context, fingerprint, last_attempt_no,
        committed_attempt_id, stored_at)
      SELECT ${fileId}::uuid, ${domainToUuid(input.domain)}::uuid, 'STORED', ${input.source.root}, ${input.source.path},
        ${Buffer.from(input.context)}::bytea, ${Buffer.from(input.fingerprint)}::bytea, ${input.lastAttemptNo}::int,
        ${uuid(committed.attemptId, 'the attempt id')}::uuid, least(${input.storedAt}::timestamptz, clock_timestamp())
      WHERE (SELECT count(*) FROM usable) = 2
      ON CONFLICT (id) DO NOTHING
      RETURNING id, domain_id
    ), written AS (
      INSERT INTO attempts (id, file_id, domain_id, attempt_no, generation, state, owner, suite, seg_log2, enc_key_id,
        sig_key_id, nonce_enc, nonce_sig, nonce_id_enc, nonce_id_sig, bucket, object_key, object_version, etag, object_length,
        plaintext_length, htag, fmac, failure_code, ended_at, verified_at)
      SELECT a.id, file.id, file.domain_id, a.no, 1, a.state::attempt_state, ${input.owner}, a.suite, a.seg_log2, a.enc,
        a.sig, decode(a.nonce_enc, 'hex'), decode(a.nonce_sig, 'hex'), decode(a.id_enc, 'hex'), decode(a.id_sig, 'hex'), a.bucket,
        a.key, a.version, a.etag, a.length, a.plain, decode(a.htag, 'hex'), decode(a.fmac, 'hex'), a.code, clock_timestamp(),
        CASE WHEN a.verified THEN clock_timestamp() END
      FROM file, jsonb_to_recordset(${attempts}::jsonb) AS a (id uuid, no int, state text, suite int, seg_log2 int, enc uuid,
        sig uuid, nonce_enc text, nonce_sig text, id_enc text, id_sig text, bucket text, key text, version text, etag text,
        length bigint, plain bigint, htag text, fmac text, code text, verified boolean)
      RETURNING *
    ), logged AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT c.owner, 'file.recover', 'file', c.file_id::text, ${commitEventDetail('c')} FROM written c WHERE c.state = 'COMMITTED'
    )
    SELECT (SELECT count(*)::int FROM usable) AS "usableKeys", EXISTS (SELECT FROM written) AS recovered`)
  if (row?.recovered === true) return 'recovered'
  return row?.usableKeys === 2 ? 'exists' : 'no-key'
}

function columns(attempt: RecoveredAttempt): Record<string, unknown> {
  return {
    id: uuid(attempt.attemptId, 'the attempt id'),
    no: attempt.attemptNo,
    suite: attempt.suite,
    seg_log2: attempt.segLog2,
    enc: uuid(attempt.encKeyId, 'the key id'),
    sig: uuid(attempt.sigKeyId, 'the key id'),
    nonce_enc: hex(attempt.nonceEnc),
    nonce_sig: hex(attempt.nonceSig),
    id_enc: hex(attempt.nonceIdEnc),
    id_sig: hex(attempt.nonceIdSig),
    bucket: attempt.bucket,
    key: attempt.objectKey,
    version: attempt.objectVersion ?? null,
    etag: attempt.etag ?? null,
    length: attempt.objectLength,
    plain: attempt.plaintextLength,
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

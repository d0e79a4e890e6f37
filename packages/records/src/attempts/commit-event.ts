import { Prisma } from '../generated/client.js'

/**
 * The audit log's actions that make an attempt a file's committed one. Each such row is written in the statement, or at
 * least the transaction, that changes the file; `audit verify` compares the last of them with the record.
 */
export const COMMIT_ACTIONS = ['file.commit', 'file.rekey', 'file.recover'] as const

/**
 * The detail of such a row as an SQL expression over a whole row of `attempts` after it became COMMITTED: which object, by
 * what a reader pins and checks it, under which key versions. `alias` is the name of that row in the statement.
 *
 * @example
 * committed AS (UPDATE attempts a SET … RETURNING a.*),
 * logged AS (
 *   INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
 *   SELECT ${actor}, 'file.rekey', 'file', c.file_id::text, ${commitEventDetail('c')} FROM committed c)
 */
export function commitEventDetail(alias: 'a' | 'c', keys: 'master_keys' | 'usable' = 'master_keys'): Prisma.Sql {
  const c = Prisma.raw(alias)
  const from = Prisma.raw(keys)
  return Prisma.sql`jsonb_build_object('attemptId', ${c}.id, 'attemptNo', ${c}.attempt_no, 'bucket', ${c}.bucket,
    'objectKey', ${c}.object_key, 'version', ${c}.object_version, 'etag', ${c}.etag, 'length', ${c}.object_length,
    'plaintextLength', ${c}.plaintext_length, 'segLog2', ${c}.seg_log2, 'suite', ${c}.suite,
    'htag', encode(${c}.htag, 'hex'), 'fmac', encode(${c}.fmac, 'hex'),
    'enc', (SELECT k.version FROM ${from} k WHERE k.id = ${c}.enc_key_id),
    'sig', (SELECT k.version FROM ${from} k WHERE k.id = ${c}.sig_key_id),
    'kek', (SELECT k.version FROM ${from} k WHERE k.id = ${c}.kek_key_id))`
}

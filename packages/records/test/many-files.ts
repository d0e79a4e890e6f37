import type { ClientBase } from 'pg'
import type { Fixture } from './support.js'

/**
 * So many stored files in the default domain, each with one committed attempt: enough rows that the planner has a choice. Leaves the
 * connection without the checks of triggers.
 */
export async function manyFiles(client: ClientBase, keys: Fixture['keys'], count: number): Promise<void> {
  // Each of the two names the other; and thousands of commits one after another would take a minute.
  await client.query('SET session_replication_role = replica')
  await client.query(`
    INSERT INTO files (id, domain_id, state, source_root, source_path, context, fingerprint, last_attempt_no,
      committed_attempt_id, stored_at)
    SELECT md5('f' || i)::uuid, '00000000-0000-0000-0000-000000000000', 'STORED', 'in', 'p' || i, '',
      decode(repeat('00', 32), 'hex'), 1, md5('a' || i)::uuid, now() FROM generate_series(1, ${count}) i`)
  await client.query(
    `INSERT INTO attempts (id, file_id, domain_id, attempt_no, generation, state, owner, suite, seg_log2, enc_key_id,
      sig_key_id, nonce_enc, nonce_sig, nonce_id_enc, nonce_id_sig, bucket, object_key, etag, object_length, plaintext_length,
      htag, fmac, ended_at)
    SELECT md5('a' || i)::uuid, md5('f' || i)::uuid, '00000000-0000-0000-0000-000000000000', 1, 1, 'COMMITTED', 'w', 1, 20,
      $1, $2, e, s, sha256('SFV1/nonce-id\\000\\000\\000'::bytea || e), sha256('SFV1/nonce-id\\000\\000\\000'::bytea || s), 'bucket',
      'default/' || md5('f' || i)::uuid || '/' || md5('a' || i)::uuid, '"e"', 451, 3, sha256('h'), sha256('m'), now() - interval '1 hour'
    FROM generate_series(1, ${count}) i, LATERAL (SELECT sha256(('e' || i)::bytea) AS e, sha256(('s' || i)::bytea) AS s) n`,
    [keys.enc.id, keys.sig.id],
  )
}

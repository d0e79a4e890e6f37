/** A register that is full already: rows by SQL, as stored and dead files would have left them. */

/**
 * Stored files of the default domain, each with one committed attempt, and dead files with an open letter each. The
 * triggers are off meanwhile; the constraints are not. Then the tables are vacuumed, as autovacuum would have done.
 *
 * @param {import('pg').Client} client a superuser's connection to the database
 * @param {{ stored: number, dead: number }} counts
 */
export async function fillRegister(client, { stored, dead }) {
  const { rows: keys } = await client.query(
    `SELECT (SELECT id FROM master_keys WHERE role = 'ENC' AND state = 'ACTIVE' LIMIT 1) AS enc,
       (SELECT id FROM master_keys WHERE role = 'SIG' AND state = 'ACTIVE' LIMIT 1) AS sig`,
  )
  await client.query('BEGIN')
  // Each file names its attempt, and each attempt its file.
  await client.query('SET LOCAL session_replication_role = replica')
  await client.query(
    `INSERT INTO files (id, domain_id, state, source_root, source_path, context, fingerprint, last_attempt_no,
       committed_attempt_id, stored_at)
     SELECT md5('f' || i)::uuid, '00000000-0000-0000-0000-000000000000', 'STORED', 'in', 'before/' || i || '.bin', '',
       sha256(('p' || i)::bytea), 1, md5('a' || i)::uuid, now() - interval '1 day' FROM generate_series(1, $1::int) i`,
    [stored],
  )
  await client.query(
    `INSERT INTO attempts (id, file_id, domain_id, attempt_no, generation, state, owner, suite, seg_log2, enc_key_id,
       sig_key_id, nonce_enc, nonce_sig, nonce_id_enc, nonce_id_sig, bucket, object_key, etag, object_length,
       plaintext_length, htag, fmac, ended_at)
     SELECT md5('a' || i)::uuid, md5('f' || i)::uuid, '00000000-0000-0000-0000-000000000000', 1, 1, 'COMMITTED', 'w', 1,
       20, $2, $3, e, s, sha256('SFV1/nonce-id\\000\\000\\000'::bytea || e),
       sha256('SFV1/nonce-id\\000\\000\\000'::bytea || s), 'before',
       'default/' || md5('f' || i)::uuid || '/' || md5('a' || i)::uuid, md5('t' || i), 451, 3, sha256(('h' || i)::bytea),
       sha256(('m' || i)::bytea), now() - interval '1 day'
     FROM generate_series(1, $1::int) i,
       LATERAL (SELECT sha256(('e' || i)::bytea) AS e, sha256(('s' || i)::bytea) AS s) n`,
    [stored, keys[0].enc, keys[0].sig],
  )
  await client.query(
    `INSERT INTO files (id, domain_id, state, source_root, source_path, context, fingerprint, last_attempt_no,
       last_failure_code, last_failure_at)
     SELECT md5('d' || i)::uuid, '00000000-0000-0000-0000-000000000000', 'DEAD', 'in', 'dead/' || i || '.bin', '',
       sha256(('q' || i)::bytea), 1, 'SOURCE_MISSING', now() - interval '1 day'
     FROM generate_series(1, $1::int) i`,
    [dead],
  )
  await client.query(
    `INSERT INTO dead_letters (id, file_id, domain_id, code, class, reason)
     SELECT md5('l' || i)::uuid, md5('d' || i)::uuid, '00000000-0000-0000-0000-000000000000', 'SOURCE_MISSING',
       'permanent-input', 'it is gone' FROM generate_series(1, $1::int) i`,
    [dead],
  )
  await client.query('COMMIT')
  await client.query('VACUUM (ANALYZE) files, attempts, dead_letters')
}

-- What must never be, said where nobody can forget it. Prisma knows nothing of these; each has a test.

-- Domains and master keys ------------------------------------------------------------------------------------------

ALTER TABLE key_domains
  ADD CONSTRAINT key_domains_name CHECK (length(name) BETWEEN 1 AND 100),
  ADD CONSTRAINT key_domains_suite CHECK (suite IN (1, 2)),
  ADD CONSTRAINT key_domains_seg_log2 CHECK (seg_log2 BETWEEN 16 AND 24),
  ADD CONSTRAINT key_domains_loss_acknowledged CHECK (nonce_mode = 'INLINE' OR loss_acknowledged_at IS NOT NULL);

ALTER TABLE master_keys
  ADD CONSTRAINT master_keys_version CHECK (version >= 1),
  ADD CONSTRAINT master_keys_suite CHECK (suite = 1 OR (suite = 2 AND role IN ('ENC', 'SIG'))),
  ADD CONSTRAINT master_keys_audit_domain CHECK (role <> 'AUDIT' OR domain_id = '00000000-0000-0000-0000-000000000000'),
  -- An object can be opened with the HSM alone only if labels follow from what its header says.
  ADD CONSTRAINT master_keys_label CHECK (label =
    CASE WHEN role = 'AUDIT' THEN 'sealfleet/audit/' || version
    ELSE 'sealfleet/'
      || CASE WHEN domain_id = '00000000-0000-0000-0000-000000000000' THEN 'default' ELSE domain_id::text END
      || '/' || CASE role WHEN 'ENC' THEN 'enc/s' || suite WHEN 'SIG' THEN 'sig/s' || suite ELSE 'kek' END
      || '/' || version
    END),
  ADD CONSTRAINT master_keys_check_value CHECK (
    (role IN ('ENC', 'SIG') AND check_value IS NOT NULL AND octet_length(check_value) = 8)
    OR (role = 'AUDIT' AND (check_value IS NULL OR octet_length(check_value) = 8))
    OR (role = 'KEK' AND check_value IS NULL)),
  ADD CONSTRAINT master_keys_check_record CHECK (
    (role = 'KEK' AND (state = 'PENDING' OR check_record IS NOT NULL)
      AND (check_record IS NULL OR octet_length(check_record) BETWEEN 29 AND 1024))
    OR (role <> 'KEK' AND check_record IS NULL)),
  ADD CONSTRAINT master_keys_times CHECK (
    (state IN ('PENDING', 'DESTROY_SCHEDULED', 'DESTROYED') OR activated_at IS NOT NULL)
    AND (state <> 'DECRYPT_ONLY' OR retired_at IS NOT NULL)
    AND (state <> 'DESTROY_SCHEDULED' OR destroy_after IS NOT NULL)
    AND ((state = 'DESTROYED') = (destroyed_at IS NOT NULL)));

CREATE UNIQUE INDEX master_keys_one_active ON master_keys (domain_id, role) WHERE state = 'ACTIVE';

-- Files ------------------------------------------------------------------------------------------------------------

ALTER TABLE batches
  ADD CONSTRAINT batches_expected CHECK (expected IS NULL OR expected >= 0);

ALTER TABLE files
  ADD CONSTRAINT files_source CHECK (length(source_root) BETWEEN 1 AND 100 AND length(source_path) BETWEEN 1 AND 4096),
  ADD CONSTRAINT files_context CHECK (octet_length(context) <= 1024),
  ADD CONSTRAINT files_fingerprint CHECK (octet_length(fingerprint) = 32),
  ADD CONSTRAINT files_counters CHECK (generation >= 1 AND last_attempt_no >= 0 AND crashes >= 0),
  ADD CONSTRAINT files_lease CHECK (
    (state = 'RUNNING') = (lease_owner IS NOT NULL) AND (state = 'RUNNING') = (lease_expires_at IS NOT NULL)
    AND lease_owner <> '' AND (state <> 'RUNNING' OR last_attempt_no >= 1)),
  ADD CONSTRAINT files_stored_names_attempt CHECK (
    (state <> 'STORED' OR (committed_attempt_id IS NOT NULL AND stored_at IS NOT NULL))
    AND (state IN ('STORED', 'DELETED') OR committed_attempt_id IS NULL));

-- Immediate, so that a wrong statement is told at once. A rekey exchanges the committed attempt under SET CONSTRAINTS …
-- DEFERRED: two may not be committed at once, nor may a stored file name none.
ALTER TABLE files ALTER CONSTRAINT files_id_committed_attempt_id_committed_state_fkey DEFERRABLE INITIALLY IMMEDIATE;

-- Attempts ---------------------------------------------------------------------------------------------------------

ALTER TABLE attempts
  ADD CONSTRAINT attempts_attempt_no CHECK (attempt_no >= 1 AND generation >= 1),
  ADD CONSTRAINT attempts_suite CHECK (suite IN (1, 2) AND seg_log2 BETWEEN 16 AND 24),
  ADD CONSTRAINT attempts_keys_differ CHECK (enc_key_id <> sig_key_id),
  ADD CONSTRAINT attempts_nonces_in_pairs CHECK ((nonce_enc IS NULL) = (nonce_sig IS NULL)),
  ADD CONSTRAINT attempts_nonce_size CHECK (
    (nonce_enc IS NULL OR octet_length(nonce_enc) = 32) AND (nonce_sig IS NULL OR octet_length(nonce_sig) = 32)
    AND (wrapped_nonces IS NULL OR octet_length(wrapped_nonces) = 92)
    AND octet_length(nonce_id_enc) = 32 AND octet_length(nonce_id_sig) = 32),
  ADD CONSTRAINT attempts_nonce_not_zero CHECK (
    nonce_enc IS DISTINCT FROM decode(repeat('00', 32), 'hex') AND nonce_sig IS DISTINCT FROM decode(repeat('00', 32), 'hex')),
  -- Equal nonces have equal ids, so the second half holds in detached mode too.
  ADD CONSTRAINT attempts_nonces_differ CHECK ((nonce_enc IS NULL OR nonce_enc <> nonce_sig) AND nonce_id_enc <> nonce_id_sig),
  -- SHA-256(label(16) `SFV1/nonce-id` ‖ nonce): an id can not be made up for a nonce that is written beside it.
  ADD CONSTRAINT attempts_nonce_ids_true CHECK (nonce_enc IS NULL OR (
    nonce_id_enc = sha256('\x534656312f6e6f6e63652d6964000000'::bytea || nonce_enc)
    AND nonce_id_sig = sha256('\x534656312f6e6f6e63652d6964000000'::bytea || nonce_sig))),
  ADD CONSTRAINT attempts_one_nonce_mode CHECK (NOT (nonce_enc IS NOT NULL AND wrapped_nonces IS NOT NULL)),
  ADD CONSTRAINT attempts_live_has_nonces CHECK (
    state NOT IN ('OPEN', 'COMMITTED') OR nonce_enc IS NOT NULL OR wrapped_nonces IS NOT NULL),
  ADD CONSTRAINT attempts_wrapped_names_kek CHECK (wrapped_nonces IS NULL OR kek_key_id IS NOT NULL),
  ADD CONSTRAINT attempts_inline_names_no_kek CHECK (nonce_enc IS NULL OR kek_key_id IS NULL),
  -- `<domain>/<file_id>/<attempt_id>`, below a prefix if there is one: no attempt can overwrite another.
  ADD CONSTRAINT attempts_object_key CHECK (bucket <> '' AND
    ('/' || object_key) LIKE ('%/'
      || CASE WHEN domain_id = '00000000-0000-0000-0000-000000000000' THEN 'default' ELSE domain_id::text END
      || '/' || file_id || '/' || id)),
  ADD CONSTRAINT attempts_committed_is_whole CHECK (
    state NOT IN ('COMMITTED', 'SUPERSEDED') OR (
      (object_version <> '' OR etag <> '') IS TRUE
      AND object_length IS NOT NULL AND plaintext_length IS NOT NULL AND htag IS NOT NULL AND fmac IS NOT NULL)),
  ADD CONSTRAINT attempts_tag_size CHECK (
    (htag IS NULL OR octet_length(htag) = 32) AND (fmac IS NULL OR octet_length(fmac) = 32)
    AND (object_sha256 IS NULL OR octet_length(object_sha256) = 32)),
  -- T = 416 + L + 32 * max(1, ceil(L / S))
  ADD CONSTRAINT attempts_lengths CHECK (
    (object_length IS NULL) = (plaintext_length IS NULL)
    AND (plaintext_length IS NULL OR (plaintext_length BETWEEN 0 AND 17592186044416
      AND object_length = 416 + plaintext_length
        + 32 * greatest(1, (plaintext_length + (1::bigint << seg_log2) - 1) >> seg_log2)))),
  ADD CONSTRAINT attempts_ended CHECK ((state = 'OPEN') = (ended_at IS NULL)),
  ADD CONSTRAINT attempts_failed_has_code CHECK (state <> 'FAILED' OR failure_code IS NOT NULL);

CREATE UNIQUE INDEX attempts_one_committed ON attempts (file_id) WHERE state = 'COMMITTED';

-- Failures, dead letters, workers, latches -------------------------------------------------------------------------

ALTER TABLE failures
  ADD CONSTRAINT failures_attempt_no CHECK (attempt_no >= 1 AND generation >= 1),
  ADD CONSTRAINT failures_code CHECK (code ~ '^[A-Z][A-Z0-9_]{1,63}$');

ALTER TABLE dead_letters
  ADD CONSTRAINT dead_letters_code CHECK (code ~ '^[A-Z][A-Z0-9_]{1,63}$'),
  ADD CONSTRAINT dead_letters_subject CHECK (file_id IS NOT NULL OR job_id IS NOT NULL),
  ADD CONSTRAINT dead_letters_fingerprint CHECK (request_fingerprint IS NULL OR octet_length(request_fingerprint) = 32),
  ADD CONSTRAINT dead_letters_resolution CHECK (
    (state = 'OPEN') = (resolved_at IS NULL) AND (state = 'OPEN') = (resolved_by IS NULL)
    AND (state <> 'DISCARDED' OR (resolution <> '') IS TRUE));

CREATE UNIQUE INDEX dead_letters_one_open_per_file ON dead_letters (file_id)
  WHERE state = 'OPEN' AND job_id IS NULL;
CREATE UNIQUE INDEX dead_letters_one_open_per_job ON dead_letters (job_id, code, coalesce(request_fingerprint, ''::bytea))
  WHERE state = 'OPEN' AND job_id IS NOT NULL;

ALTER TABLE workers
  ADD CONSTRAINT workers_sane CHECK (id <> '' AND pid > 0 AND concurrency >= 0 AND expires_at > heartbeat_at);

ALTER TABLE hsm_latches
  ADD CONSTRAINT hsm_latches_named CHECK (token_serial <> '' AND pin_id <> '');

-- What a row may become --------------------------------------------------------------------------------------------
-- Each refusal is a check violation (23514) that names its rule as the constraint.

CREATE FUNCTION sealfleet_refuse(rule text, message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = rule, MESSAGE = rule || ': ' || message;
END $$;

CREATE FUNCTION sealfleet_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM sealfleet_refuse(TG_TABLE_NAME || '_append_only', TG_TABLE_NAME || ' is only ever added to');
  RETURN NULL;
END $$;

CREATE FUNCTION sealfleet_never_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM sealfleet_refuse(TG_TABLE_NAME || '_never_deleted', 'rows of ' || TG_TABLE_NAME || ' are kept for ever');
  RETURN NULL;
END $$;

CREATE FUNCTION files_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.domain_id, NEW.source_root, NEW.source_path, NEW.context, NEW.fingerprint, NEW.accepted_at)
    IS DISTINCT FROM (OLD.id, OLD.domain_id, OLD.source_root, OLD.source_path, OLD.context, OLD.fingerprint, OLD.accepted_at) THEN
    PERFORM sealfleet_refuse('files_request_fixed', 'what was asked for a file does not change');
  END IF;
  IF NEW.last_attempt_no NOT IN (OLD.last_attempt_no, OLD.last_attempt_no + 1) THEN
    PERFORM sealfleet_refuse('files_attempt_no_counts_up', 'attempt numbers go up one by one and are never reset');
  END IF;
  IF NEW.generation < OLD.generation THEN
    PERFORM sealfleet_refuse('files_generation_counts_up', 'generations only go up');
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN (
    'QUEUED>RUNNING', 'QUEUED>DEAD', 'QUEUED>DISCARDED', 'RUNNING>QUEUED', 'RUNNING>STORED', 'RUNNING>DEAD',
    'STORED>DELETED', 'DEAD>QUEUED', 'DEAD>DISCARDED') THEN
    PERFORM sealfleet_refuse('files_transition', 'a file does not go from ' || OLD.state || ' to ' || NEW.state);
  END IF;
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$;

CREATE FUNCTION attempts_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.file_id, NEW.domain_id, NEW.attempt_no, NEW.suite, NEW.seg_log2, NEW.enc_key_id, NEW.sig_key_id,
      NEW.nonce_id_enc, NEW.nonce_id_sig, NEW.bucket, NEW.object_key)
    IS DISTINCT FROM (OLD.id, OLD.file_id, OLD.domain_id, OLD.attempt_no, OLD.suite, OLD.seg_log2, OLD.enc_key_id, OLD.sig_key_id,
      OLD.nonce_id_enc, OLD.nonce_id_sig, OLD.bucket, OLD.object_key) THEN
    PERFORM sealfleet_refuse('attempts_identity_fixed', 'an attempt keeps its keys, nonces and place');
  END IF;
  IF NEW.nonce_enc IS NOT NULL AND NEW.nonce_enc IS DISTINCT FROM OLD.nonce_enc
    OR NEW.nonce_sig IS NOT NULL AND NEW.nonce_sig IS DISTINCT FROM OLD.nonce_sig THEN
    PERFORM sealfleet_refuse('attempts_nonces_fixed', 'nonces are written once and may only be forgotten');
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN (
    'OPEN>COMMITTED', 'OPEN>ABANDONED', 'OPEN>FAILED', 'COMMITTED>SUPERSEDED') THEN
    PERFORM sealfleet_refuse('attempts_transition', 'an attempt does not go from ' || OLD.state || ' to ' || NEW.state);
  END IF;
  IF OLD.state <> 'OPEN' AND (NEW.object_version, NEW.etag, NEW.object_length, NEW.plaintext_length, NEW.htag, NEW.fmac)
    IS DISTINCT FROM (OLD.object_version, OLD.etag, OLD.object_length, OLD.plaintext_length, OLD.htag, OLD.fmac) THEN
    PERFORM sealfleet_refuse('attempts_outcome_fixed', 'the outcome of an attempt does not change');
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION master_keys_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.domain_id, NEW.role, NEW.suite, NEW.version, NEW.check_value)
    IS DISTINCT FROM (OLD.id, OLD.domain_id, OLD.role, OLD.suite, OLD.version, OLD.check_value)
    OR (OLD.check_record IS NOT NULL AND NEW.check_record IS DISTINCT FROM OLD.check_record) THEN
    PERFORM sealfleet_refuse('master_keys_identity_fixed', 'a key version keeps its name and its check value');
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN (
    'PENDING>ACTIVE', 'PENDING>DESTROY_SCHEDULED', 'ACTIVE>DECRYPT_ONLY', 'DECRYPT_ONLY>DESTROY_SCHEDULED',
    'DESTROY_SCHEDULED>DECRYPT_ONLY', 'DESTROY_SCHEDULED>DESTROYED') THEN
    PERFORM sealfleet_refuse('master_keys_transition', 'a master key does not go from ' || OLD.state || ' to ' || NEW.state);
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER files_guard BEFORE UPDATE ON files FOR EACH ROW EXECUTE FUNCTION files_guard();
CREATE TRIGGER files_never_deleted BEFORE DELETE OR TRUNCATE ON files FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();
CREATE TRIGGER attempts_guard BEFORE UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION attempts_guard();
CREATE TRIGGER attempts_never_deleted BEFORE DELETE OR TRUNCATE ON attempts FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();
CREATE TRIGGER master_keys_guard BEFORE UPDATE ON master_keys FOR EACH ROW EXECUTE FUNCTION master_keys_guard();
CREATE TRIGGER master_keys_never_deleted BEFORE DELETE OR TRUNCATE ON master_keys FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();
CREATE TRIGGER failures_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON failures FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_append_only();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_append_only();

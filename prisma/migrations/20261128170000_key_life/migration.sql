-- What the life of a master key needs: who may decide (operators, requests they sign), what is sealed anew (rekey runs), what is
-- destroyed and how that was proved, and the chain that makes the audit log hard to rewrite.

-- Operators and requests -------------------------------------------------------------------------------------------

CREATE TYPE "operator_role" AS ENUM ('OFFICER', 'AUDITOR');

CREATE TABLE "operators" (
  "id" UUID NOT NULL,
  "name" TEXT NOT NULL,
  "role" "operator_role" NOT NULL,
  "public_key" BYTEA NOT NULL,
  "enrolled_by" TEXT NOT NULL,
  "enrolled_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "request_id" UUID,
  "revoked_at" TIMESTAMPTZ(3),
  "revoked_by" TEXT,

  CONSTRAINT "operators_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "operators_name" CHECK (length("name") BETWEEN 1 AND 100),
  CONSTRAINT "operators_public_key" CHECK (octet_length("public_key") = 32),
  CONSTRAINT "operators_revoked" CHECK (("revoked_at" IS NULL) = ("revoked_by" IS NULL))
);
CREATE UNIQUE INDEX "operators_public_key_key" ON "operators" ("public_key");
-- A name may be used again once its holder has gone.
CREATE UNIQUE INDEX "operators_one_by_name" ON "operators" ("name") WHERE "revoked_at" IS NULL;

CREATE TABLE "requests" (
  "id" UUID NOT NULL,
  "kind" TEXT NOT NULL,
  "subject_kind" TEXT NOT NULL,
  "subject_id" TEXT NOT NULL,
  "body" BYTEA NOT NULL,
  "required" INTEGER NOT NULL,
  "created_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "expires_at" TIMESTAMPTZ(3) NOT NULL,
  "consumed_at" TIMESTAMPTZ(3),
  "consumed_by" TEXT,
  "cancelled_at" TIMESTAMPTZ(3),
  "cancelled_by" TEXT,

  CONSTRAINT "requests_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "requests_kind" CHECK ("kind" ~ '^[a-z]+(\.[a-z]+)+$'),
  CONSTRAINT "requests_body" CHECK (octet_length("body") BETWEEN 2 AND 65536),
  CONSTRAINT "requests_required" CHECK ("required" BETWEEN 1 AND 5),
  CONSTRAINT "requests_expiry" CHECK ("expires_at" > "created_at"),
  CONSTRAINT "requests_consumed" CHECK (("consumed_at" IS NULL) = ("consumed_by" IS NULL)),
  CONSTRAINT "requests_cancelled" CHECK (("cancelled_at" IS NULL) = ("cancelled_by" IS NULL)),
  CONSTRAINT "requests_one_end" CHECK ("consumed_at" IS NULL OR "cancelled_at" IS NULL)
);
CREATE INDEX "requests_created_at_id_idx" ON "requests" ("created_at", "id");

CREATE TABLE "request_signatures" (
  "request_id" UUID NOT NULL,
  "operator_id" UUID NOT NULL,
  "signature" BYTEA NOT NULL,
  "signed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

  CONSTRAINT "request_signatures_pkey" PRIMARY KEY ("request_id", "operator_id"),
  CONSTRAINT "request_signatures_size" CHECK (octet_length("signature") = 64)
);
ALTER TABLE "request_signatures"
  ADD CONSTRAINT "request_signatures_request_id_fkey" FOREIGN KEY ("request_id") REFERENCES "requests" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION,
  ADD CONSTRAINT "request_signatures_operator_id_fkey" FOREIGN KEY ("operator_id") REFERENCES "operators" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION;
ALTER TABLE "operators"
  ADD CONSTRAINT "operators_request_id_fkey" FOREIGN KEY ("request_id") REFERENCES "requests" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

CREATE FUNCTION requests_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.kind, NEW.subject_kind, NEW.subject_id, NEW.body, NEW.required, NEW.created_by, NEW.created_at, NEW.expires_at)
    IS DISTINCT FROM (OLD.id, OLD.kind, OLD.subject_kind, OLD.subject_id, OLD.body, OLD.required, OLD.created_by, OLD.created_at, OLD.expires_at) THEN
    PERFORM sealfleet_refuse('requests_fixed', 'what was signed does not change');
  END IF;
  IF OLD.consumed_at IS NOT NULL OR OLD.cancelled_at IS NOT NULL THEN
    PERFORM sealfleet_refuse('requests_single_use', 'a request is used once');
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION operators_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.name, NEW.role, NEW.public_key, NEW.enrolled_by, NEW.enrolled_at, NEW.request_id)
    IS DISTINCT FROM (OLD.id, OLD.name, OLD.role, OLD.public_key, OLD.enrolled_by, OLD.enrolled_at, OLD.request_id)
    OR OLD.revoked_at IS NOT NULL THEN
    PERFORM sealfleet_refuse('operators_fixed', 'an operator may only be revoked, once');
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER requests_guard BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION requests_guard();
CREATE TRIGGER requests_never_deleted BEFORE DELETE OR TRUNCATE ON requests FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();
CREATE TRIGGER operators_guard BEFORE UPDATE ON operators FOR EACH ROW EXECUTE FUNCTION operators_guard();
CREATE TRIGGER operators_never_deleted BEFORE DELETE OR TRUNCATE ON operators FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();
CREATE TRIGGER request_signatures_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON request_signatures FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_append_only();

-- Files that go, attempts that are replaced ------------------------------------------------------------------------

CREATE TYPE "deletion" AS ENUM ('REMOVED', 'EXPIRED', 'SHREDDED');

ALTER TABLE "files"
  ADD COLUMN "deleted_at" TIMESTAMPTZ(3),
  ADD COLUMN "deleted_by" TEXT,
  ADD COLUMN "deletion" "deletion",
  ADD COLUMN "swept_at" TIMESTAMPTZ(3),
  ADD CONSTRAINT "files_swept" CHECK ("swept_at" IS NULL OR "state" = 'DELETED'),
  ADD CONSTRAINT "files_deletion" CHECK (
    ("deleted_at" IS NULL) = ("deleted_by" IS NULL) AND ("deleted_at" IS NULL) = ("deletion" IS NULL)
    AND ("deleted_at" IS NULL OR "state" = 'DELETED'));

ALTER TABLE "attempts"
  ADD COLUMN "superseded_at" TIMESTAMPTZ(3),
  ADD COLUMN "shredded_at" TIMESTAMPTZ(3),
  ADD COLUMN "verified_at" TIMESTAMPTZ(3),
  DROP CONSTRAINT attempts_live_has_nonces,
  -- Nonces of what is kept may be forgotten only by shredding it.
  ADD CONSTRAINT attempts_live_has_nonces CHECK (
    state NOT IN ('OPEN', 'COMMITTED') OR nonce_enc IS NOT NULL OR wrapped_nonces IS NOT NULL OR shredded_at IS NOT NULL),
  ADD CONSTRAINT attempts_shredded_has_none CHECK (shredded_at IS NULL OR (nonce_enc IS NULL AND nonce_sig IS NULL AND wrapped_nonces IS NULL)),
  ADD CONSTRAINT attempts_superseded CHECK (superseded_at IS NULL OR state = 'SUPERSEDED'),
  -- The object of a file that was deleted goes, too.
  DROP CONSTRAINT attempts_swept_after_end,
  ADD CONSTRAINT attempts_swept_after_end CHECK (swept_at IS NULL OR state <> 'OPEN');
CREATE INDEX attempts_superseded_unswept ON attempts (superseded_at, id) WHERE swept_at IS NULL AND state = 'SUPERSEDED';
-- What needs a key: all that a destruction or a re-encryption has to look at, and nothing of what is gone already.
CREATE INDEX attempts_needing_enc ON attempts (enc_key_id, file_id, attempt_no)
  WHERE state IN ('OPEN', 'COMMITTED', 'SUPERSEDED') AND swept_at IS NULL AND shredded_at IS NULL;
CREATE INDEX attempts_needing_sig ON attempts (sig_key_id, file_id, attempt_no)
  WHERE state IN ('OPEN', 'COMMITTED', 'SUPERSEDED') AND swept_at IS NULL AND shredded_at IS NULL;
CREATE INDEX attempts_needing_kek ON attempts (kek_key_id, file_id, attempt_no)
  WHERE state IN ('OPEN', 'COMMITTED', 'SUPERSEDED') AND swept_at IS NULL AND shredded_at IS NULL AND kek_key_id IS NOT NULL;
CREATE INDEX attempts_scrub ON attempts (verified_at NULLS FIRST, id) WHERE state = 'COMMITTED';
CREATE INDEX files_deleted_unswept ON files (deleted_at, id) WHERE state = 'DELETED' AND swept_at IS NULL;
CREATE INDEX files_stored ON files (domain_id, stored_at, id) WHERE state = 'STORED';

-- Re-encryption ----------------------------------------------------------------------------------------------------

CREATE TYPE "rekey_run_state" AS ENUM ('ACTIVE', 'PAUSED', 'DONE', 'CANCELLED');
CREATE TYPE "rekey_item_state" AS ENUM ('QUEUED', 'RUNNING', 'DONE', 'SKIPPED', 'FAILED');

CREATE TABLE "rekey_runs" (
  "id" UUID NOT NULL,
  "domain_id" UUID NOT NULL,
  "from_version" INTEGER NOT NULL,
  "state" "rekey_run_state" NOT NULL DEFAULT 'ACTIVE',
  "files_per_second" DOUBLE PRECISION,
  "created_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "seed_cursor" UUID,
  "seeded_at" TIMESTAMPTZ(3),
  "finished_at" TIMESTAMPTZ(3),

  CONSTRAINT "rekey_runs_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "rekey_runs_from" CHECK ("from_version" >= 1),
  CONSTRAINT "rekey_runs_rate" CHECK ("files_per_second" > 0),
  CONSTRAINT "rekey_runs_finished" CHECK (("state" IN ('DONE', 'CANCELLED')) = ("finished_at" IS NOT NULL))
);
CREATE UNIQUE INDEX "rekey_runs_one_open" ON "rekey_runs" ("domain_id", "from_version") WHERE "finished_at" IS NULL;

CREATE TABLE "rekey_items" (
  "id" UUID NOT NULL,
  "run_id" UUID NOT NULL,
  "file_id" UUID NOT NULL,
  "state" "rekey_item_state" NOT NULL DEFAULT 'QUEUED',
  "tries" INTEGER NOT NULL DEFAULT 0,
  "lease_owner" TEXT,
  "lease_expires_at" TIMESTAMPTZ(3),
  "attempt_no" INTEGER,
  "attempt_id" UUID,
  "failure_code" TEXT,
  "not_before" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "queued_at" TIMESTAMPTZ(3),
  "ended_at" TIMESTAMPTZ(3),

  CONSTRAINT "rekey_items_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "rekey_items_lease" CHECK (
    ("state" = 'RUNNING') = ("lease_owner" IS NOT NULL) AND ("state" = 'RUNNING') = ("lease_expires_at" IS NOT NULL)),
  CONSTRAINT "rekey_items_ended" CHECK (("state" IN ('DONE', 'SKIPPED', 'FAILED')) = ("ended_at" IS NOT NULL)),
  CONSTRAINT "rekey_items_failed" CHECK ("state" <> 'FAILED' OR "failure_code" IS NOT NULL)
);
CREATE UNIQUE INDEX "rekey_items_run_id_file_id_key" ON "rekey_items" ("run_id", "file_id");
CREATE INDEX "rekey_items_run_id_state_not_before_id_idx" ON "rekey_items" ("run_id", "state", "not_before", "id");
-- Of one file, one sealing at a time, whatever run it belongs to.
CREATE UNIQUE INDEX "rekey_items_one_running" ON "rekey_items" ("file_id") WHERE "state" = 'RUNNING';
-- What a run gave jobs to in its last seconds: its pace.
CREATE INDEX "rekey_items_given" ON "rekey_items" ("run_id", "queued_at") WHERE "queued_at" IS NOT NULL;
ALTER TABLE "rekey_runs"
  ADD CONSTRAINT "rekey_runs_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "key_domains" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION;
ALTER TABLE "rekey_items"
  ADD CONSTRAINT "rekey_items_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "rekey_runs" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION,
  ADD CONSTRAINT "rekey_items_file_id_fkey" FOREIGN KEY ("file_id") REFERENCES "files" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- Destruction ------------------------------------------------------------------------------------------------------

CREATE TABLE "destructions" (
  "id" UUID NOT NULL,
  "key_id" UUID NOT NULL,
  "request_id" UUID,
  "shred" BOOLEAN NOT NULL DEFAULT FALSE,
  "reason" TEXT NOT NULL,
  "backups" TEXT NOT NULL,
  "scheduled_by" TEXT NOT NULL,
  "scheduled_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "execute_after" TIMESTAMPTZ(3) NOT NULL,
  "begun_at" TIMESTAMPTZ(3),
  "references" JSONB NOT NULL DEFAULT '{}',
  "cancelled_at" TIMESTAMPTZ(3),
  "cancelled_by" TEXT,
  "carried_out_at" TIMESTAMPTZ(3),
  "last_refusal" JSONB,
  "record" BYTEA,
  "audit_key_version" INTEGER,
  "mac" BYTEA,
  "store_key" TEXT,
  "copied_at" TIMESTAMPTZ(3),

  CONSTRAINT "destructions_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "destructions_reason" CHECK ("reason" <> '' AND "backups" <> ''),
  CONSTRAINT "destructions_cancelled" CHECK (("cancelled_at" IS NULL) = ("cancelled_by" IS NULL)),
  CONSTRAINT "destructions_one_end" CHECK ("cancelled_at" IS NULL OR "carried_out_at" IS NULL),
  CONSTRAINT "destructions_signed" CHECK (
    ("carried_out_at" IS NULL) = ("record" IS NULL) AND ("mac" IS NULL OR octet_length("mac") = 32)
    AND ("mac" IS NULL) = ("audit_key_version" IS NULL) AND ("copied_at" IS NULL OR "mac" IS NOT NULL))
);
CREATE UNIQUE INDEX "destructions_one_open" ON "destructions" ("key_id") WHERE "cancelled_at" IS NULL;
ALTER TABLE "destructions"
  ADD CONSTRAINT "destructions_key_id_fkey" FOREIGN KEY ("key_id") REFERENCES "master_keys" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION,
  ADD CONSTRAINT "destructions_request_id_fkey" FOREIGN KEY ("request_id") REFERENCES "requests" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION;
CREATE TRIGGER destructions_never_deleted BEFORE DELETE OR TRUNCATE ON destructions FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();

-- The audit log's chain --------------------------------------------------------------------------------------------

-- hash = SHA-256 over the batch's number, the hash before it, the number of its rows and the digest of their canonical bytes.
CREATE TABLE "audit_batches" (
  "no" BIGINT NOT NULL,
  "rows" INTEGER NOT NULL,
  "rows_digest" BYTEA NOT NULL,
  "previous" BYTEA NOT NULL,
  "hash" BYTEA NOT NULL,
  "sealed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

  CONSTRAINT "audit_batches_pkey" PRIMARY KEY ("no"),
  CONSTRAINT "audit_batches_sane" CHECK ("no" >= 1 AND "rows" >= 1 AND octet_length("rows_digest") = 32
    AND octet_length("previous") = 32 AND octet_length("hash") = 32)
);
CREATE UNIQUE INDEX "audit_batches_previous_key" ON "audit_batches" ("previous");

-- Which batch a row is in. Ids are handed out before commit, so a batch is no range of ids.
CREATE TABLE "audit_batch_rows" (
  "audit_id" BIGINT NOT NULL,
  "batch_no" BIGINT NOT NULL,

  CONSTRAINT "audit_batch_rows_pkey" PRIMARY KEY ("audit_id")
);
CREATE INDEX "audit_batch_rows_batch_no_audit_id_idx" ON "audit_batch_rows" ("batch_no", "audit_id");
ALTER TABLE "audit_batch_rows"
  ADD CONSTRAINT "audit_batch_rows_audit_id_fkey" FOREIGN KEY ("audit_id") REFERENCES "audit_log" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION,
  ADD CONSTRAINT "audit_batch_rows_batch_no_fkey" FOREIGN KEY ("batch_no") REFERENCES "audit_batches" ("no") ON DELETE NO ACTION ON UPDATE NO ACTION;

CREATE TABLE "audit_checkpoints" (
  "no" INTEGER NOT NULL,
  "batch_no" BIGINT NOT NULL,
  "body" BYTEA NOT NULL,
  "audit_key_version" INTEGER NOT NULL,
  "mac" BYTEA NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "store_key" TEXT NOT NULL,
  "stored_at" TIMESTAMPTZ(3),

  CONSTRAINT "audit_checkpoints_pkey" PRIMARY KEY ("no"),
  CONSTRAINT "audit_checkpoints_sane" CHECK ("no" >= 1 AND octet_length("mac") = 32)
);
ALTER TABLE "audit_checkpoints"
  ADD CONSTRAINT "audit_checkpoints_batch_no_fkey" FOREIGN KEY ("batch_no") REFERENCES "audit_batches" ("no") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- The chain takes rows in the order of their transactions, from where the last batch ended.
CREATE INDEX "audit_log_xact_id_idx" ON "audit_log" ("xact", "id");

-- Rows of a rare action among those of many commits, the newest first.
CREATE INDEX "audit_log_action_id_idx" ON "audit_log" ("action", "id");

CREATE TRIGGER audit_batches_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_batches FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_append_only();
CREATE TRIGGER audit_batch_rows_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_batch_rows FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_append_only();
CREATE TRIGGER audit_checkpoints_never_deleted BEFORE DELETE OR TRUNCATE ON audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();

-- Scrubbing --------------------------------------------------------------------------------------------------------

CREATE TABLE "scrubs" (
  "id" UUID NOT NULL,
  "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "finished_at" TIMESTAMPTZ(3),
  "objects" INTEGER NOT NULL DEFAULT 0,
  "bytes" BIGINT NOT NULL DEFAULT 0,
  "failed" INTEGER NOT NULL DEFAULT 0,
  "findings" JSONB NOT NULL DEFAULT '[]',

  CONSTRAINT "scrubs_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "scrubs_one_open" ON "scrubs" ((1)) WHERE "finished_at" IS NULL;

-- Which objects a pass has found wrong, all of them: a run that goes on with it does not look at them again. Kept until the next pass.
CREATE TABLE "scrub_failures" (
  "scrub_id" UUID NOT NULL,
  "attempt_id" UUID NOT NULL,

  CONSTRAINT "scrub_failures_pkey" PRIMARY KEY ("scrub_id", "attempt_id")
);
ALTER TABLE "scrub_failures"
  ADD CONSTRAINT "scrub_failures_scrub_id_fkey" FOREIGN KEY ("scrub_id") REFERENCES "scrubs" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- Files that are stored already ------------------------------------------------------------------------------------
-- From now on each commit writes its row of the audit log, and verifying compares files with it: those before get theirs here.

INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
SELECT 'migration', 'file.commit', 'file', a.file_id::text, jsonb_build_object('attemptId', a.id, 'attemptNo', a.attempt_no,
  'bucket', a.bucket, 'objectKey', a.object_key, 'version', a.object_version, 'etag', a.etag, 'length', a.object_length,
  'htag', encode(a.htag, 'hex'), 'fmac', encode(a.fmac, 'hex'),
  'enc', (SELECT k.version FROM master_keys k WHERE k.id = a.enc_key_id),
  'sig', (SELECT k.version FROM master_keys k WHERE k.id = a.sig_key_id),
  'kek', (SELECT k.version FROM master_keys k WHERE k.id = a.kek_key_id))
FROM attempts a WHERE a.state = 'COMMITTED' ORDER BY a.ended_at, a.id;

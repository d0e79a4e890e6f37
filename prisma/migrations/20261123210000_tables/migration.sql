-- Tables, indexes and foreign keys as schema.prisma has them. Written by Prisma's schema engine; by hand are only the
-- GENERATED columns (constants that let a foreign key ask for a key of the right role, or for a committed attempt) and
-- the collation of paths.

-- CreateEnum
CREATE TYPE "file_state" AS ENUM ('QUEUED', 'RUNNING', 'STORED', 'DEAD', 'DISCARDED', 'DELETED');

-- CreateEnum
CREATE TYPE "attempt_state" AS ENUM ('OPEN', 'COMMITTED', 'ABANDONED', 'FAILED', 'SUPERSEDED');

-- CreateEnum
CREATE TYPE "key_role" AS ENUM ('ENC', 'SIG', 'KEK', 'AUDIT');

-- CreateEnum
CREATE TYPE "key_state" AS ENUM ('PENDING', 'ACTIVE', 'DECRYPT_ONLY', 'DESTROY_SCHEDULED', 'DESTROYED');

-- CreateEnum
CREATE TYPE "nonce_mode" AS ENUM ('INLINE', 'DETACHED');

-- CreateEnum
CREATE TYPE "disposition" AS ENUM ('RETRY', 'DEAD', 'RELEASE');

-- CreateEnum
CREATE TYPE "dead_letter_state" AS ENUM ('OPEN', 'REPLAYED', 'DISCARDED');

-- CreateEnum
CREATE TYPE "worker_state" AS ENUM ('STARTING', 'READY', 'DRAINING', 'STOPPED');

-- CreateEnum
CREATE TYPE "latch_state" AS ENUM ('PROVEN', 'REJECTED');

-- CreateTable
CREATE TABLE "key_domains" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "suite" SMALLINT NOT NULL DEFAULT 1,
    "nonce_mode" "nonce_mode" NOT NULL DEFAULT 'INLINE',
    "seg_log2" SMALLINT NOT NULL DEFAULT 20,
    "loss_acknowledged_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "key_domains_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "master_keys" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "role" "key_role" NOT NULL,
    "suite" SMALLINT NOT NULL,
    "version" INTEGER NOT NULL,
    "state" "key_state" NOT NULL DEFAULT 'PENDING',
    "label" TEXT NOT NULL,
    "check_value" BYTEA,
    "check_record" BYTEA,
    "evidence" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "activated_at" TIMESTAMPTZ(3),
    "retired_at" TIMESTAMPTZ(3),
    "destroy_after" TIMESTAMPTZ(3),
    "destroyed_at" TIMESTAMPTZ(3),

    CONSTRAINT "master_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "batches" (
    "id" UUID NOT NULL,
    "name" TEXT,
    "expected" INTEGER,
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "batches_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "files" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "state" "file_state" NOT NULL DEFAULT 'QUEUED',
    "source_root" TEXT NOT NULL,
    "source_path" TEXT COLLATE "C" NOT NULL,
    "context" BYTEA NOT NULL,
    "fingerprint" BYTEA NOT NULL,
    "generation" INTEGER NOT NULL DEFAULT 1,
    "batch_id" UUID,
    "last_attempt_no" INTEGER NOT NULL DEFAULT 0,
    "crashes" INTEGER NOT NULL DEFAULT 0,
    "lease_owner" TEXT,
    "lease_expires_at" TIMESTAMPTZ(3),
    "committed_attempt_id" UUID,
    "committed_state" "attempt_state" GENERATED ALWAYS AS (CASE WHEN "state" = 'STORED' THEN 'COMMITTED'::"attempt_state" END) STORED,
    "last_failure_code" TEXT,
    "last_failure_at" TIMESTAMPTZ(3),
    "accepted_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "stored_at" TIMESTAMPTZ(3),

    CONSTRAINT "files_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "attempts" (
    "id" UUID NOT NULL,
    "file_id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "attempt_no" INTEGER NOT NULL,
    "generation" INTEGER NOT NULL,
    "state" "attempt_state" NOT NULL DEFAULT 'OPEN',
    "owner" TEXT NOT NULL,
    "suite" SMALLINT NOT NULL,
    "seg_log2" SMALLINT NOT NULL,
    "enc_key_id" UUID NOT NULL,
    "sig_key_id" UUID NOT NULL,
    "kek_key_id" UUID,
    "enc_role" "key_role" GENERATED ALWAYS AS ('ENC'::"key_role") STORED,
    "sig_role" "key_role" GENERATED ALWAYS AS ('SIG'::"key_role") STORED,
    "kek_role" "key_role" GENERATED ALWAYS AS ('KEK'::"key_role") STORED,
    "nonce_enc" BYTEA,
    "nonce_sig" BYTEA,
    "wrapped_nonces" BYTEA,
    "nonce_id_enc" BYTEA NOT NULL,
    "nonce_id_sig" BYTEA NOT NULL,
    "source_fingerprint" JSONB NOT NULL DEFAULT '{}',
    "bucket" TEXT NOT NULL,
    "object_key" TEXT NOT NULL,
    "object_version" TEXT,
    "etag" TEXT,
    "object_length" BIGINT,
    "plaintext_length" BIGINT,
    "htag" BYTEA,
    "fmac" BYTEA,
    "object_sha256" BYTEA,
    "failure_code" TEXT,
    "opened_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "attempts_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "failures" (
    "id" BIGSERIAL NOT NULL,
    "file_id" UUID NOT NULL,
    "attempt_no" INTEGER NOT NULL,
    "attempt_id" UUID,
    "generation" INTEGER NOT NULL,
    "owner" TEXT NOT NULL,
    "code" TEXT NOT NULL,
    "class" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    "disposition" "disposition" NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "failures_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "dead_letters" (
    "id" UUID NOT NULL,
    "file_id" UUID,
    "generation" INTEGER NOT NULL DEFAULT 1,
    "domain_id" UUID,
    "state" "dead_letter_state" NOT NULL DEFAULT 'OPEN',
    "code" TEXT NOT NULL,
    "class" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "job_id" TEXT,
    "request_fingerprint" BYTEA,
    "owner" TEXT,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "resolved_at" TIMESTAMPTZ(3),
    "resolved_by" TEXT,
    "resolution" TEXT,

    CONSTRAINT "dead_letters_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "outbox" (
    "id" BIGSERIAL NOT NULL,
    "file_id" UUID NOT NULL,
    "generation" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "relayed_at" TIMESTAMPTZ(3),

    CONSTRAINT "outbox_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "workers" (
    "id" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "pid" INTEGER NOT NULL,
    "version" TEXT NOT NULL,
    "state" "worker_state" NOT NULL,
    "concurrency" INTEGER NOT NULL,
    "detail" JSONB NOT NULL DEFAULT '{}',
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "heartbeat_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "workers_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "hsm_latches" (
    "token_serial" TEXT NOT NULL,
    "pin_id" TEXT NOT NULL,
    "state" "latch_state" NOT NULL,
    "ckr" BIGINT,
    "set_by" TEXT NOT NULL,
    "set_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "hsm_latches_pkey" PRIMARY KEY ("token_serial","pin_id")
);

-- CreateTable
CREATE TABLE "audit_log" (
    "id" BIGSERIAL NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "actor" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "subject_kind" TEXT NOT NULL,
    "subject_id" TEXT NOT NULL,
    "detail" JSONB NOT NULL DEFAULT '{}',
    "xact" BIGINT NOT NULL DEFAULT ((pg_current_xact_id())::text)::bigint,

    CONSTRAINT "audit_log_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "key_domains_name_key" ON "key_domains"("name");

-- CreateIndex
CREATE UNIQUE INDEX "master_keys_label_key" ON "master_keys"("label");

-- CreateIndex
CREATE UNIQUE INDEX "master_keys_domain_id_role_version_key" ON "master_keys"("domain_id", "role", "version");

-- CreateIndex
CREATE UNIQUE INDEX "master_keys_id_domain_id_role_suite_key" ON "master_keys"("id", "domain_id", "role", "suite");

-- CreateIndex
CREATE UNIQUE INDEX "master_keys_id_domain_id_role_key" ON "master_keys"("id", "domain_id", "role");

-- CreateIndex
CREATE INDEX "batches_created_at_id_idx" ON "batches"("created_at", "id");

-- CreateIndex
CREATE INDEX "files_state_accepted_at_id_idx" ON "files"("state", "accepted_at", "id");

-- CreateIndex
CREATE INDEX "files_accepted_at_id_idx" ON "files"("accepted_at", "id");

-- CreateIndex
CREATE INDEX "files_batch_id_state_idx" ON "files"("batch_id", "state");

-- CreateIndex
CREATE INDEX "files_source_path_idx" ON "files"("source_path");

-- CreateIndex
CREATE UNIQUE INDEX "files_id_domain_id_key" ON "files"("id", "domain_id");

-- CreateIndex
CREATE INDEX "attempts_kek_key_id_idx" ON "attempts"("kek_key_id");

-- CreateIndex
CREATE INDEX "attempts_state_opened_at_idx" ON "attempts"("state", "opened_at");

-- CreateIndex
CREATE UNIQUE INDEX "attempts_file_id_attempt_no_key" ON "attempts"("file_id", "attempt_no");

-- CreateIndex
CREATE UNIQUE INDEX "attempts_file_id_id_state_key" ON "attempts"("file_id", "id", "state");

-- CreateIndex
CREATE UNIQUE INDEX "attempts_enc_key_id_nonce_id_enc_key" ON "attempts"("enc_key_id", "nonce_id_enc");

-- CreateIndex
CREATE UNIQUE INDEX "attempts_sig_key_id_nonce_id_sig_key" ON "attempts"("sig_key_id", "nonce_id_sig");

-- CreateIndex
CREATE UNIQUE INDEX "attempts_bucket_object_key_key" ON "attempts"("bucket", "object_key");

-- CreateIndex
CREATE UNIQUE INDEX "failures_file_id_attempt_no_key" ON "failures"("file_id", "attempt_no");

-- CreateIndex
CREATE INDEX "dead_letters_state_created_at_id_idx" ON "dead_letters"("state", "created_at", "id");

-- CreateIndex
CREATE INDEX "dead_letters_file_id_idx" ON "dead_letters"("file_id");

-- CreateIndex
CREATE UNIQUE INDEX "outbox_file_id_generation_key" ON "outbox"("file_id", "generation");

-- CreateIndex
CREATE INDEX "workers_expires_at_idx" ON "workers"("expires_at");

-- CreateIndex
CREATE INDEX "audit_log_subject_kind_subject_id_idx" ON "audit_log"("subject_kind", "subject_id");

-- AddForeignKey
ALTER TABLE "master_keys" ADD CONSTRAINT "master_keys_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "key_domains"("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "files" ADD CONSTRAINT "files_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "key_domains"("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "files" ADD CONSTRAINT "files_batch_id_fkey" FOREIGN KEY ("batch_id") REFERENCES "batches"("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "files" ADD CONSTRAINT "files_id_committed_attempt_id_committed_state_fkey" FOREIGN KEY ("id", "committed_attempt_id", "committed_state") REFERENCES "attempts"("file_id", "id", "state") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_file_id_domain_id_fkey" FOREIGN KEY ("file_id", "domain_id") REFERENCES "files"("id", "domain_id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_enc_key_id_domain_id_enc_role_suite_fkey" FOREIGN KEY ("enc_key_id", "domain_id", "enc_role", "suite") REFERENCES "master_keys"("id", "domain_id", "role", "suite") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_sig_key_id_domain_id_sig_role_suite_fkey" FOREIGN KEY ("sig_key_id", "domain_id", "sig_role", "suite") REFERENCES "master_keys"("id", "domain_id", "role", "suite") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_kek_key_id_domain_id_kek_role_fkey" FOREIGN KEY ("kek_key_id", "domain_id", "kek_role") REFERENCES "master_keys"("id", "domain_id", "role") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "failures" ADD CONSTRAINT "failures_file_id_fkey" FOREIGN KEY ("file_id") REFERENCES "files"("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "dead_letters" ADD CONSTRAINT "dead_letters_file_id_fkey" FOREIGN KEY ("file_id") REFERENCES "files"("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "outbox" ADD CONSTRAINT "outbox_file_id_fkey" FOREIGN KEY ("file_id") REFERENCES "files"("id") ON DELETE NO ACTION ON UPDATE NO ACTION;

-- Tokens of the HTTP API. The secret is not here: only its SHA-256, which is enough to check one and useless to send.

CREATE TABLE "api_tokens" (
  "id" UUID NOT NULL,
  "name" TEXT NOT NULL,
  "secret_hash" BYTEA NOT NULL,
  "scopes" TEXT[] NOT NULL,
  "all_domains" BOOLEAN NOT NULL,
  "domain_ids" UUID[] NOT NULL,
  "created_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "expires_at" TIMESTAMPTZ(3) NOT NULL,
  "revoked_at" TIMESTAMPTZ(3),
  "revoked_by" TEXT,
  "last_used_at" TIMESTAMPTZ(3),

  CONSTRAINT "api_tokens_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "api_tokens_name" CHECK (length("name") BETWEEN 1 AND 100),
  CONSTRAINT "api_tokens_secret_hash" CHECK (octet_length("secret_hash") = 32),
  CONSTRAINT "api_tokens_scopes" CHECK (
    cardinality("scopes") > 0
    AND "scopes" <@ ARRAY['enqueue', 'upload', 'read', 'verify', 'remove', 'on-call']),
  -- An empty list never means every domain.
  CONSTRAINT "api_tokens_domains" CHECK ("all_domains" = (cardinality("domain_ids") = 0)),
  CONSTRAINT "api_tokens_expiry" CHECK ("expires_at" > "created_at"),
  CONSTRAINT "api_tokens_revoked" CHECK (("revoked_at" IS NULL) = ("revoked_by" IS NULL))
);
-- A name may be used again once its token was revoked.
CREATE UNIQUE INDEX "api_tokens_one_by_name" ON "api_tokens" ("name") WHERE "revoked_at" IS NULL;

CREATE FUNCTION api_tokens_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.name, NEW.secret_hash, NEW.scopes, NEW.all_domains, NEW.domain_ids, NEW.created_by, NEW.created_at, NEW.expires_at)
    IS DISTINCT FROM (OLD.id, OLD.name, OLD.secret_hash, OLD.scopes, OLD.all_domains, OLD.domain_ids, OLD.created_by, OLD.created_at, OLD.expires_at)
    OR OLD.revoked_at IS NOT NULL THEN
    PERFORM sealfleet_refuse('api_tokens_fixed', 'a token may only be used, and revoked once');
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER api_tokens_guard BEFORE UPDATE ON api_tokens FOR EACH ROW EXECUTE FUNCTION api_tokens_guard();
CREATE TRIGGER api_tokens_never_deleted BEFORE DELETE OR TRUNCATE ON api_tokens FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();

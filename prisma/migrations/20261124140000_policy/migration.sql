-- A retention class says when its keys are due for rotation and how long its files are kept; a hold keeps them longer.

ALTER TABLE "key_domains"
  ADD COLUMN "rotation_days" INTEGER,
  ADD COLUMN "retention_days" INTEGER,
  ADD CONSTRAINT "key_domains_rotation_days" CHECK ("rotation_days" > 0),
  ADD CONSTRAINT "key_domains_retention_days" CHECK ("retention_days" > 0);

CREATE TABLE "holds" (
  "id" UUID NOT NULL,
  "domain_id" UUID NOT NULL,
  "file_id" UUID,
  "reason" TEXT NOT NULL,
  "placed_by" TEXT NOT NULL,
  "placed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "released_at" TIMESTAMPTZ(3),
  "released_by" TEXT,

  CONSTRAINT "holds_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "holds_reason" CHECK ("reason" <> ''),
  CONSTRAINT "holds_released" CHECK (("released_at" IS NULL) = ("released_by" IS NULL))
);

CREATE INDEX "holds_domain_id_file_id_idx" ON "holds" ("domain_id", "file_id");

ALTER TABLE "holds"
  ADD CONSTRAINT "holds_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "key_domains" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION,
  ADD CONSTRAINT "holds_file_id_domain_id_fkey" FOREIGN KEY ("file_id", "domain_id") REFERENCES "files" ("id", "domain_id") ON DELETE NO ACTION ON UPDATE NO ACTION;

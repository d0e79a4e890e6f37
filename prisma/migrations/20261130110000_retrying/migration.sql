-- When a file that failed is tried again, and an index of the files that wait for that: on call asks for them by code, and they
-- are few beside the stored ones.
ALTER TABLE "files" ADD COLUMN "next_try_at" TIMESTAMPTZ(3);

CREATE INDEX files_retrying ON files (accepted_at, id) WHERE state IN ('QUEUED', 'RUNNING') AND last_failure_code IS NOT NULL;

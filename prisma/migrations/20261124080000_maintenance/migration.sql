-- What maintenance needs to know of attempts, and who did which of its tasks last.

-- Compared byte by byte, as stores list their keys: the register and a listing can then be read side by side.
ALTER TABLE attempts ALTER COLUMN object_key TYPE text COLLATE "C";

-- When the store was seen to hold nothing of an attempt that ended without being kept.
ALTER TABLE attempts ADD COLUMN swept_at timestamptz(3);
ALTER TABLE attempts ADD CONSTRAINT attempts_swept_after_end CHECK (
  swept_at IS NULL OR state IN ('ABANDONED', 'FAILED', 'SUPERSEDED'));
CREATE INDEX attempts_unswept ON attempts (ended_at, id) WHERE swept_at IS NULL AND state IN ('ABANDONED', 'FAILED');

CREATE TABLE maintenance_tasks (
  name text NOT NULL,
  owner text,
  lease_expires_at timestamptz(3),
  started_at timestamptz(3),
  finished_at timestamptz(3),
  outcome text,
  report jsonb NOT NULL DEFAULT '{}',
  CONSTRAINT maintenance_tasks_pkey PRIMARY KEY (name),
  CONSTRAINT maintenance_tasks_lease CHECK ((owner IS NULL) = (lease_expires_at IS NULL))
);

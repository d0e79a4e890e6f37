-- A fleet is one database and what stands around it. Its id is written on its queues and into its bucket, so that a second fleet
-- that was pointed at them by mistake is refused. There is one row; its id never changes.

CREATE TABLE "fleet" (
  "singleton" BOOLEAN NOT NULL DEFAULT true,
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "took_over" UUID[] NOT NULL DEFAULT ARRAY[]::UUID[],
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

  CONSTRAINT "fleet_pkey" PRIMARY KEY ("singleton"),
  CONSTRAINT "fleet_singleton" CHECK ("singleton")
);

INSERT INTO "fleet" DEFAULT VALUES;

CREATE FUNCTION sealfleet_fleet_keeps_its_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.id <> OLD.id THEN
    PERFORM sealfleet_refuse('fleet_keeps_its_id', 'a fleet keeps its id');
  END IF;
  RETURN NEW;
END
$$;

CREATE TRIGGER fleet_keeps_its_id BEFORE UPDATE ON fleet FOR EACH ROW EXECUTE FUNCTION sealfleet_fleet_keeps_its_id();
CREATE TRIGGER fleet_never_deleted BEFORE DELETE OR TRUNCATE ON fleet FOR EACH STATEMENT EXECUTE FUNCTION sealfleet_never_deleted();

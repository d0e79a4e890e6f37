-- Accepting files inside a producer's own transaction: from any language, by one call.

-- What the relay has to do, and what has been done and may be forgotten.
CREATE INDEX outbox_to_relay ON outbox (id) WHERE relayed_at IS NULL;
CREATE INDEX outbox_relayed ON outbox (relayed_at) WHERE relayed_at IS NOT NULL;

-- SHA-256 over a label of 16 bytes and then domain, root, path and context, each as its length (32 bits, big-endian) and
-- its bytes in UTF-8: packages/jobs has the same (requestFingerprint), and a test holds the two together.
CREATE FUNCTION sealfleet_fingerprint(domain text, root text, path text, context bytea) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT sha256('\x534656312f726571756573742d310000'::bytea
    || int4send(octet_length(convert_to(domain, 'UTF8'))) || convert_to(domain, 'UTF8')
    || int4send(octet_length(convert_to(root, 'UTF8'))) || convert_to(root, 'UTF8')
    || int4send(octet_length(convert_to(path, 'UTF8'))) || convert_to(path, 'UTF8')
    || int4send(octet_length(context)) || context)
$$;

-- The rule that a request breaks; null for a good one. The same contract as schema/ingest-job.v1.json in packages/jobs, with
-- the batch besides. COLLATE "C", so that ranges of characters mean what they say under any locale.
CREATE FUNCTION sealfleet_enqueue_fault(request jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN jsonb_typeof(request) IS DISTINCT FROM 'object' THEN 'enqueue_request'
    -- A name misspelt (contxt) would otherwise bind less to the file than was asked.
    WHEN request - '{v,fileId,domain,source,context,generation,batchId}'::text[] <> '{}' THEN 'enqueue_request'
    WHEN coalesce(request -> 'v', '1') <> '1' THEN 'enqueue_version'
    -- A replay counts generations; a producer begins at the first.
    WHEN coalesce(request -> 'generation', '1') <> '1' THEN 'enqueue_generation'
    WHEN (jsonb_typeof(request -> 'fileId') = 'string' AND (request ->> 'fileId') COLLATE "C"
      ~ '^(?!00000000-0000-0000-0000-000000000000$)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') IS NOT TRUE THEN 'enqueue_file_id'
    WHEN (jsonb_typeof(coalesce(request -> 'domain', '"default"')) = 'string'
      AND coalesce(request ->> 'domain', 'default') COLLATE "C"
      ~ '^(default|(?!00000000-0000-0000-0000-000000000000$)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$') IS NOT TRUE THEN 'enqueue_domain'
    WHEN jsonb_typeof(request -> 'source') IS DISTINCT FROM 'object' THEN 'enqueue_source'
    WHEN (request -> 'source') - '{root,path}'::text[] <> '{}' THEN 'enqueue_source'
    WHEN (jsonb_typeof(request #> '{source,root}') = 'string'
      AND (request #>> '{source,root}') COLLATE "C" ~ '^[a-z0-9-]{1,64}$') IS NOT TRUE THEN 'enqueue_root'
    -- Relative, without empty, `.` and `..` segments. (NUL and lone surrogates are in no text of PostgreSQL.)
    WHEN (jsonb_typeof(request #> '{source,path}') = 'string'
      AND (request #>> '{source,path}') COLLATE "C" !~ '(^|/)\.{0,2}(/|$)'
      AND octet_length(convert_to(request #>> '{source,path}', 'UTF8')) <= 4096) IS NOT TRUE THEN 'enqueue_path'
    -- base64url without padding in its one canonical form, of 0 to 1,024 bytes.
    WHEN (jsonb_typeof(coalesce(request -> 'context', '""')) = 'string' AND length(coalesce(request ->> 'context', '')) <= 1366
      AND coalesce(request ->> 'context', '') COLLATE "C"
      ~ '^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$') IS NOT TRUE THEN 'enqueue_context'
    WHEN (jsonb_typeof(coalesce(request -> 'batchId', '"00000000-0000-0000-0000-000000000000"')) = 'string'
      AND coalesce(request ->> 'batchId', '00000000-0000-0000-0000-000000000000') COLLATE "C"
      ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') IS NOT TRUE THEN 'enqueue_batch'
  END
$$;

-- Good requests as rows, with the fingerprint that follows from each; `turn` counts those of one id.
CREATE FUNCTION sealfleet_enqueue_rows(requests jsonb)
RETURNS TABLE (ord bigint, turn bigint, id uuid, domain_id uuid, root text, path text, context bytea, fingerprint bytea, batch_id uuid)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT a.ord, row_number() OVER (PARTITION BY a.id ORDER BY a.ord), a.id,
    CASE a.domain WHEN 'default' THEN '00000000-0000-0000-0000-000000000000' ELSE a.domain END::uuid,
    a.root, a.path, a.context, sealfleet_fingerprint(a.domain, a.root, a.path, a.context), a.batch_id
  FROM (
    SELECT r.ord, (r.request ->> 'fileId')::uuid AS id, coalesce(r.request ->> 'domain', 'default') AS domain,
      r.request #>> '{source,root}' AS root, r.request #>> '{source,path}' AS path,
      decode(rpad(c.text, (length(c.text) + 3) / 4 * 4, '='), 'base64') AS context, (r.request ->> 'batchId')::uuid AS batch_id
    FROM jsonb_array_elements(requests) WITH ORDINALITY AS r (request, ord),
      LATERAL (SELECT translate(coalesce(r.request ->> 'context', ''), '-_', '+/') AS text) AS c
  ) a
$$;

-- Accepts files: writes their rows unless they exist, and an outbox row for each that is QUEUED, by which a relay brings its
-- job to Redis once the caller's transaction is committed. `requests` is an array of jobs as in schema/ingest-job.v1.json
-- (v, domain, generation and context may be left out), each with the `batchId` it belongs to, if any.
--
-- One answer a request, in their order. exists-same: the very same request was accepted before; asking again repairs a job
-- that was lost. conflict: the id stands for another request, which is as it was. Of two requests with one id the first counts.
-- A request against the rules is a check violation (23514) that names its rule as the constraint (enqueue_path, ...); an unknown
-- domain or batch is a foreign key violation (23503). Then nothing is accepted.
CREATE FUNCTION sealfleet_enqueue(requests jsonb)
RETURNS TABLE (file_id uuid, outcome text, state text, generation int)
LANGUAGE plpgsql SECURITY INVOKER AS $$
#variable_conflict use_column
DECLARE
  fault record;
  inserted uuid[];
BEGIN
  IF jsonb_typeof(requests) IS DISTINCT FROM 'array' THEN
    PERFORM sealfleet_refuse('enqueue_requests', 'the requests are not a JSON array');
  END IF;
  SELECT f.place, f.rule INTO fault
    FROM (SELECT r.ord - 1 AS place, sealfleet_enqueue_fault(r.request) AS rule
      FROM jsonb_array_elements(requests) WITH ORDINALITY AS r (request, ord)) f
    WHERE f.rule IS NOT NULL ORDER BY f.place LIMIT 1;
  IF FOUND THEN
    PERFORM sealfleet_refuse(fault.rule, 'request ' || fault.place || ' is against the contract ingest-job.v1');
  END IF;

  -- In the order of their ids: two callers with the same files wait for each other and don't deadlock.
  WITH written AS (
    INSERT INTO files (id, domain_id, source_root, source_path, context, fingerprint, batch_id)
    SELECT a.id, a.domain_id, a.root, a.path, a.context, a.fingerprint, a.batch_id
    FROM sealfleet_enqueue_rows(requests) a WHERE a.turn = 1 ORDER BY a.id
    ON CONFLICT (id) DO NOTHING
    RETURNING id
  )
  SELECT array_agg(w.id) INTO inserted FROM written w;

  -- A statement of its own: it sees what others committed while the one before waited for them.
  RETURN QUERY
  WITH found AS MATERIALIZED (
    SELECT a.ord, a.turn, f.id, f.state, f.generation, f.fingerprint = a.fingerprint AS same
    FROM sealfleet_enqueue_rows(requests) a JOIN files f ON f.id = a.id
  ), posted AS (
    INSERT INTO outbox AS o (file_id, generation, created_at)
    SELECT DISTINCT n.id, n.generation, clock_timestamp()::timestamptz(3) FROM found n WHERE n.same AND n.state = 'QUEUED' ORDER BY n.id
    ON CONFLICT (file_id, generation) DO UPDATE SET relayed_at = NULL, created_at = EXCLUDED.created_at
      WHERE o.relayed_at IS NOT NULL
  )
  SELECT n.id,
    CASE WHEN NOT n.same THEN 'conflict' WHEN n.turn = 1 AND i.id IS NOT NULL THEN 'accepted' ELSE 'exists-same' END,
    n.state::text, n.generation
  FROM found n LEFT JOIN unnest(inserted) AS i (id) ON i.id = n.id
  ORDER BY n.ord;
END $$;

-- Makes a batch for files that are enqueued together, or finds the one of that id, which stays as it is. `expected`: how many
-- files there will be, when that is known.
CREATE FUNCTION sealfleet_batch(id uuid, name text DEFAULT NULL, expected int DEFAULT NULL, created_by text DEFAULT NULL)
RETURNS uuid
LANGUAGE sql SECURITY INVOKER AS $$
  INSERT INTO batches (id, name, expected, created_by)
  VALUES (sealfleet_batch.id, sealfleet_batch.name, sealfleet_batch.expected,
    coalesce(sealfleet_batch.created_by, 'database:' || session_user))
  ON CONFLICT (id) DO NOTHING;
  SELECT sealfleet_batch.id
$$;

-- A producer's transaction has a search path of its own, in which `files` may be another table. What these functions mean is
-- fixed here: the schema that the migrations were applied to.
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION sealfleet_enqueue(jsonb) SET search_path = %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION sealfleet_batch(uuid, text, int, text) SET search_path = %I, pg_temp', current_schema());
END $$;

-- Functions that mean the same in every session, whatever its search path and its standard_conforming_strings: a producer
-- calls them on a connection of its own. Bodies of functions are parsed by the settings of the session that runs them.

-- As before, with the label in a form that has no backslash.
CREATE OR REPLACE FUNCTION sealfleet_fingerprint(domain text, root text, path text, context bytea) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT sha256(decode('534656312f726571756573742d310000', 'hex')
    || int4send(octet_length(convert_to(domain, 'UTF8'))) || convert_to(domain, 'UTF8')
    || int4send(octet_length(convert_to(root, 'UTF8'))) || convert_to(root, 'UTF8')
    || int4send(octet_length(convert_to(path, 'UTF8'))) || convert_to(path, 'UTF8')
    || int4send(octet_length(context)) || context)
$$;

-- As before, with a dot in brackets instead of behind a backslash.
CREATE OR REPLACE FUNCTION sealfleet_enqueue_fault(request jsonb) RETURNS text
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
      AND (request #>> '{source,path}') COLLATE "C" !~ '(^|/)[.]{0,2}(/|$)'
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

-- Triggers run in the session of whoever writes. What they call is in the schema that the migrations were applied to.
DO $$
DECLARE
  guard regprocedure;
BEGIN
  FOR guard IN
    SELECT oid FROM pg_proc WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND prorettype = 'trigger'::regtype
      AND prosrc LIKE '%sealfleet_refuse%'
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', guard, current_schema());
  END LOOP;
  ALTER FUNCTION sealfleet_enqueue(jsonb) SET standard_conforming_strings = on;
END $$;

-- The known answer of a key version: SHA-256(label(16) `SFV1/known-hash` ‖ what the key answers to the reserved nonce). It has the
-- shape of what files are sealed with, and is the key of no file, since no attempt may use that nonce.

ALTER TABLE "master_keys"
  ADD COLUMN "known_answer" BYTEA,
  ADD CONSTRAINT master_keys_known_answer CHECK (known_answer IS NULL OR (role <> 'KEK' AND octet_length(known_answer) = 32));

-- Registered once, at the latest when a version that had none proved right; then it stays.
CREATE FUNCTION master_keys_known_answer_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.known_answer IS NOT NULL AND NEW.known_answer IS DISTINCT FROM OLD.known_answer THEN
    PERFORM sealfleet_refuse('master_keys_known_answer_fixed', 'a key version keeps its known answer');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER master_keys_known_answer_fixed BEFORE UPDATE ON master_keys
  FOR EACH ROW EXECUTE FUNCTION master_keys_known_answer_fixed();

-- The nonce id of the reserved nonce, SHA-256(label(16) `SFV1/known-nonce`): ids are true (attempts_nonce_ids_true), so this holds
-- in both nonce modes. NOT VALID: no row is read for it, since no nonce that was ever drawn is that one.
ALTER TABLE "attempts"
  ADD CONSTRAINT attempts_nonce_not_reserved CHECK (
    nonce_id_enc <> '\xcd35a4ffe2c827190733c461f7bc9ec1ca26cf1854d126435018d667cbcfbad1'::bytea
    AND nonce_id_sig <> '\xcd35a4ffe2c827190733c461f7bc9ec1ca26cf1854d126435018d667cbcfbad1'::bytea) NOT VALID;

-- An audit log as Sealfleet of 2026-11-29 (dcb9194, before sessions were pinned to UTC) wrote it on a server in UTC: recorded from
-- that code, with times set by hand around midnight and changes of daylight saving. The audit key is 32 bytes of 07.
INSERT INTO audit_log (id, at, actor, action, subject_kind, subject_id, detail, xact) OVERRIDING SYSTEM VALUE VALUES
  ('1', '2026-11-28 16:00:01+00', 'cli:root', 'domains.set', 'domain', 'default', '{"a": "ü", "b": 1, "n": 0.1, "big": "12345678901234567890"}', '951'),
  ('2', '2026-11-29 00:00:00+00', 'cli:root', 'queue.pause', 'domain', 'default', E'{"deep": {"y": {}, "z": [1, 2.5, null, true]}, "reason": "a \\"quoted\\" one\\n"}', '952'),
  ('3', '2026-03-29 01:30:00+00', 'cli:büro', 'queue.resume', 'domain', 'default', '{}', '953'),
  ('4', '2026-10-25 00:59:59+00', 'cli:root', 'holds.place', 'domain', 'default', '{"until": "2030-01-01", "reason": "court"}', '959'),
  ('5', '2026-11-30 12:05:03.88+00', 'cli:root', 'holds.release', 'domain', 'default', '{"reason": "over"}', '960');
INSERT INTO audit_batches (no, rows, rows_digest, previous, hash, sealed_at) VALUES
  ('1', '3', E'\\x397ab54f0bf361b42d45676bdff0dd55147292e7f8e7991731181fc0622d7bb0', E'\\x0000000000000000000000000000000000000000000000000000000000000000', E'\\xb2ccc9752268da4a38a014769e886226179810b21baba9ecfbf93ac7c11830f5', '2026-11-30 12:05:03.506+00'),
  ('2', '2', E'\\x61faa7347b59cd0bcfcf7df89b0525bde0644a6e79913d6cb93df17ad58a8e47', E'\\xb2ccc9752268da4a38a014769e886226179810b21baba9ecfbf93ac7c11830f5', E'\\x0d658bb973df6cb0317c475506685677ad8de37f032dd9b835ccbeb9fd8a467b', '2026-11-30 12:05:03.933+00');
INSERT INTO audit_batch_rows (audit_id, batch_no) VALUES
  ('1', '1'),
  ('2', '1'),
  ('3', '1'),
  ('4', '2'),
  ('5', '2');
INSERT INTO audit_checkpoints (no, batch_no, body, audit_key_version, mac, created_at, store_key) VALUES
  ('1', '1', E'\\x7b226174223a22323032362d31312d33305431323a30353a30332e3739345a222c2262617463684e6f223a312c2268617368223a2262326363633937353232363864613461333861303134373639653838363232363137393831306232316261626139656366626639336163376331313833306635222c226e6f223a312c2270726576696f7573223a6e756c6c2c22726f7773223a332c2276223a317d', '1', E'\\xbdc2a0ac5b80b64f7d9963f44b18c80830f01145d8ec0852d370b2506b71b0fc', '2026-11-30 12:05:03.833+00', 'sealfleet-audit/checkpoints/0000000001.json'),
  ('2', '2', E'\\x7b226174223a22323032362d31312d33305431323a30353a30342e3034365a222c2262617463684e6f223a322c2268617368223a2230643635386262393733646636636230333137633437353530363638353637376164386465333766303332646439623833356363626562396664386134363762222c226e6f223a322c2270726576696f7573223a2238623533356262383765653530633137393866313263306531313632363464336234336662333132646633623963646434383032313961633437373736363962222c22726f7773223a352c2276223a317d', '1', E'\\xb059144cbe17ba0d4af0a61b27a703d7feac4fc9d9dc3a6336803082dd3065ff', '2026-11-30 12:05:04.048+00', 'sealfleet-audit/checkpoints/0000000002.json');

import type { FailureStatus, FailureEntry } from './terms.js'

function integrity(exitStatus: FailureStatus, summary: string, fix: string): FailureEntry {
  const policy = { kind: 'retry', attempts: 2 } as const
  return { class: 'integrity', burnsAttempt: true, policy, page: true, exitStatus, owner: 'security', summary, fix }
}

const INSPECT = 'Run `npx sealfleet object inspect` on it, then `npx sealfleet trace ID`; keep the object as evidence.'

/**
 * Bytes that differ from the expected ones: one new attempt, then dead; on-call is paged. Order and names as in FORMAT
 * §7.
 */
export const INTEGRITY = {
  E_FORMAT: integrity(
    3,
    'The object does not begin with a well-formed SFV1 header: it is foreign or damaged.',
    INSPECT,
  ),
  E_UNSUPPORTED: integrity(
    3,
    'The object has a format version or suite that this reader does not know or must not accept.',
    'Use a version of Sealfleet that knows it.',
  ),
  E_LENGTH: integrity(
    3,
    'The object’s length does not fit its header or trailer: it is cut off or has bytes too many.',
    INSPECT,
  ),
  E_WRONG_FILE: integrity(3, 'The object is intact in form but belongs to another file id.', INSPECT),
  E_RECORD_MISMATCH: integrity(3, 'The object is not the one that the record describes.', INSPECT),
  RECORD_DAMAGED: integrity(
    3,
    'A row of the database is not one that its constraints allow: the database was restored without them, or someone wrote to it.',
    'The message names file and column: put the row back from a backup, or rebuild it with `npx sealfleet recover`.',
  ),
  E_KEY_UNKNOWN: integrity(
    5,
    'The HSM has no master key of the version that the object names.',
    'Run `npx sealfleet keys check`; restore the key from the HSM’s backup. A damaged header can look like this, too.',
  ),
  E_NONCES_ABSENT: integrity(
    3,
    'The object’s nonces are kept in the record, and no record is at hand.',
    'Open it where the database is, or give the wrapped nonces.',
  ),
  E_NONCE_UNWRAP: integrity(3, 'The record’s wrapped nonces are damaged or belong to another object or key.', INSPECT),
  E_HEADER_AUTH: integrity(3, 'The header is not authentic: it was changed after sealing.', INSPECT),
  E_CONTEXT: integrity(
    3,
    'The context that was given is not the one the file was sealed with.',
    'Give the right context; `npx sealfleet trace ID` shows what was recorded.',
  ),
  E_TRAILER_AUTH: integrity(3, 'The trailer is not authentic, or does not belong to these segments.', INSPECT),
  E_KEY_COMMIT: integrity(3, 'The derived file key is not the one the object was sealed with.', INSPECT),
  E_SEGMENT_AUTH: integrity(3, 'A segment is not authentic: bytes were changed, moved or replaced.', INSPECT),
  CHECKSUM_MISMATCH: integrity(
    1,
    'The store’s checksum of the object is not that of the bytes we sent.',
    'Check memory, network and store of the worker that failed; the file is sealed afresh once.',
  ),
  LENGTH_MISMATCH: integrity(
    1,
    'The store’s length of the object is not what we sent.',
    'Check the store; the file is sealed afresh once.',
  ),
  NONCE_REUSE: integrity(
    1,
    'A nonce was drawn twice under one master key: the random source of this machine can’t be trusted.',
    'Stop that worker and find out why; the database refused the attempt, so nothing was sealed with it.',
  ),
  AUDIT_BROKEN: integrity(
    3,
    'The audit log, its chain or its checkpoints are not what was sealed: someone changed them.',
    'Keep database and store as they are; run `npx sealfleet audit verify` and follow the runbook.',
  ),
  AUDIT_BEHIND: integrity(
    3,
    'Database or store are older than the last checkpoint: one was rolled back.',
    'Run `npx sealfleet audit verify`. After a restore that was meant, `npx sealfleet audit adopt` goes on from it.',
  ),
  AUDIT_MISMATCH: integrity(
    3,
    'A file’s record is not what the audit log says was committed: an old record may have been put back.',
    'Run `npx sealfleet audit verify` and `npx sealfleet trace ID`; keep record and object as evidence.',
  ),
  S3_OBJECT_EXISTS: integrity(
    1,
    'Something that this attempt did not write sits under its object key.',
    'Find out who else writes to the bucket; the file is sealed afresh once, under a new key.',
  ),
  S3_NO_SUCH_UPLOAD: integrity(
    1,
    'The store forgot an upload while it was under way (aborted by someone else, or by a rule of the bucket).',
    'Check the bucket’s rules for unfinished uploads; the file is sealed afresh once.',
  ),
  S3_NO_SUCH_OBJECT: integrity(
    4,
    'The store has no object under the recorded key and version.',
    'Run `npx sealfleet trace ID`; look for it in the bucket’s versions and its deletion in the store’s log.',
  ),
  DESTRUCTION_UNPROVEN: integrity(
    1,
    'The record of a destruction is not what was signed, or the key it names is still there.',
    'Run `npx sealfleet keys destructions --verify`; keep the record and its copy in the store as evidence.',
  ),
} as const satisfies Record<string, FailureEntry>

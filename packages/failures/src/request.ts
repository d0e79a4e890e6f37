import { OPERATORS_REQUEST } from './operators.js'
import { permanent } from './permanent.js'
import type { FailureEntry } from './terms.js'

/** Requests that are impossible, or contradict earlier ones: dead at once. */
export const PERMANENT_REQUEST = {
  PAYLOAD_INVALID: permanent(
    'upstream',
    2,
    'The job’s data does not follow its schema.',
    'Have upstream follow packages/queue/schema/ingest-job.v1.json; the message names the fields.',
  ),
  REQUEST_CONFLICT: permanent(
    'upstream',
    1,
    'The same file id was used before for another source, domain or context.',
    'Have upstream use a new id; the first file is untouched. `npx sealfleet trace ID` shows it.',
  ),
  ROOT_UNKNOWN: permanent(
    'operator',
    1,
    'The job names a root that this worker does not have.',
    'Add it to SEALFLEET_ROOTS of every worker, or correct upstream; then replay the dead letters.',
  ),
  NOT_FOUND: permanent(
    'operator',
    4,
    'Nothing of that id or name is known.',
    'Check the id (`npx sealfleet list`) and that this is the right environment.',
  ),
  FILE_NOT_STORED: permanent(
    'operator',
    4,
    'The file is known but not (or no longer) stored.',
    '`npx sealfleet trace ID` shows its state and history.',
  ),
  BAD_STATE: permanent(
    'operator',
    1,
    'The step is not allowed from the present state of the file or key.',
    'See its state: `npx sealfleet trace ID`, `npx sealfleet keys list`.',
  ),
  HELD: permanent(
    'operator',
    1,
    'A hold forbids it: what it covers is not deleted, and the keys that open it are not destroyed.',
    'See who placed it and why: `npx sealfleet holds list`. Nothing was changed; when it is released, ask again.',
  ),
  OBJECT_LOCKED: permanent(
    'operator',
    1,
    'The store keeps the object until a date, or under a legal hold (object lock): it cannot be deleted before.',
    'Nothing is wrong: the first sweep after that date deletes it. A legal hold is lifted in the store.',
  ),
  OUTPUT_EXISTS: permanent(
    'operator',
    1,
    'Something already has the name of the output.',
    'Choose another name, or move what is there.',
  ),
  KEY_EXISTS: permanent(
    'operator',
    1,
    'A master key of that role, domain and version exists already.',
    'Nothing to do, or rotate: `npx sealfleet keys list`.',
  ),
  ...OPERATORS_REQUEST,
  KEY_NOT_EVERYWHERE: permanent(
    'operator',
    1,
    'A new master key is not active yet: some worker has not found it on every token it uses.',
    'Copy the key to the tokens that lack it, or stop those workers; then give the same command again.',
  ),
  STILL_REFERENCED: permanent(
    'security',
    1,
    'Files still need the master key that is to be destroyed.',
    'Re-encrypt them, let their retention delete them, or rewrap their nonces; or give them up with `--shred`.',
  ),
  E_KEY_DESTROYED: permanent(
    'security',
    5,
    'The master key of this object was destroyed on purpose; the object can never be opened again.',
    'Nothing can be done. `npx sealfleet trace ID` shows the object; the destruction left a signed record.',
  ),
} as const satisfies Record<string, FailureEntry>

import { oneLine } from '@sealfleet/telemetry/text'
import { FAILURES, type FailureCode } from './list.js'

/**
 * The reader of the advice. `on-call` looks after the fleet and meets a failure in a record, a dead letter or a log;
 * its advice is the `fix` of the list. A `command` has a person at a terminal who can repeat it. A `producer` is
 * another system that hands over files, with its own settings.
 */
export type Audience = 'on-call' | 'command' | 'producer'

const AGAIN = 'Give the same command again in a moment; if it continues, run `npx sealfleet doctor`.'
const OTHER_NAME = 'Correct the path or the name, and give the command again.'

/**
 * For codes whose advice in the list mentions dead letters, upstream systems or other workers, which a person at a
 * terminal did not ask about.
 */
const COMMAND: Partial<Record<FailureCode, string>> = {
  HSM_BUSY: AGAIN,
  HSM_SESSION_LOST: AGAIN,
  S3_THROTTLED: 'Give the command again later; the store asks for fewer requests.',
  SHUTDOWN: 'Give the command again.',
  SOURCE_BUSY: 'Find out which program holds it, and give the command again.',
  SOURCE_IO: 'Check the rights of the file and of the folders above it, and the disk; then give the command again.',
  SOURCE_CHANGED: 'Wait until the program that writes the file has finished, and give the command again.',
  SOURCE_MISSING: OTHER_NAME,
  SOURCE_NOT_REGULAR: 'Name the file itself: no link, device, socket or FIFO.',
  SOURCE_HARD_LINKED: 'Copy the file instead of linking it; find out who made the link when it was not you.',
  SOURCE_OUTSIDE_ROOT: 'Name a file that is below a folder of SEALFLEET_ROOTS without a link that leads out of it.',
  PAYLOAD_INVALID: 'Correct what the message names; --help of the command says what it takes.',
  REQUEST_CONFLICT: 'Use another id for another file; the first file is untouched. `npx sealfleet trace ID` shows it.',
  ROOT_UNKNOWN: 'Name a root of SEALFLEET_ROOTS, or add it there.',
  ROOT_UNAVAILABLE: 'Mount it, or correct SEALFLEET_ROOTS.',
  FENCED: 'Look at what has it now (`npx sealfleet trace ID`), and give the command again.',
  CHECKSUM_MISMATCH:
    'Give the command again; if it continues, check the memory of this machine, the network and the store.',
  LENGTH_MISMATCH: 'Give the command again; if it continues, look into the store.',
  S3_OBJECT_EXISTS: 'Find out what else writes to the bucket; nothing of it was changed.',
  S3_NO_SUCH_UPLOAD: 'Check the bucket’s rules for unfinished uploads, and give the command again.',
  NONCE_REUSE: 'Stop, and find out what is wrong with the random source of this machine; nothing was sealed with it.',
  WORKER_DIED: 'See what happened to it (`npx sealfleet trace ID`); it is sealed again by itself.',
  POISON: 'See what happened to it (`npx sealfleet trace ID`) before it is given again.',
  UNCLASSIFIED:
    'Give the command again; if it fails in the same way, report the message: nothing describes this failure yet.',
}

const WITH_SAME_IDS = 'Ask again with the same ids: what was accepted is kept, and nothing is doubled.'

/** Actions of a system that hands over files; it knows neither our variables nor our commands. */
const PRODUCER: Partial<Record<FailureCode, string>> = {
  REDIS_UNAVAILABLE: WITH_SAME_IDS,
  DB_UNAVAILABLE: WITH_SAME_IDS,
  REDIS_ACCESS_DENIED: 'Check the user and the password in the Redis URL, and what its access list lets this user do.',
  REDIS_TLS: 'Check the `tls` settings of the client and the host in the Redis URL.',
  REDIS_UNSUITABLE: 'Have the operators set maxmemory-policy to noeviction, or use the Redis that they meant.',
  DB_ACCESS_DENIED: 'Check the user, the password and the rights of this connection to PostgreSQL.',
  DB_SCHEMA: 'Use the client of the version that the operators run, and the database that they meant.',
  PAYLOAD_INVALID: 'Follow packages/queue/schema/ingest-job.v1.json; the message names the fields.',
  REQUEST_CONFLICT: 'Use a new id for another file; the first file is untouched.',
  ROOT_UNKNOWN: 'Use a root that the operators have named.',
  CONFIG_INVALID: 'Correct what the message names.',
  UNCLASSIFIED: 'Ask again with the same ids; if it fails in the same way, report the message to the operators.',
}

/**
 * The advice that an error brings itself, for any reader: it is more specific than the list's. One line.
 * @param from the part of an error that its code was read from (`classify`)
 */
export function ownAdvice(from: unknown): string | undefined {
  if (typeof from !== 'object' || from === null) return undefined
  // A CodedError's `fix` may be the list's advice for producers; its own advice is `ownFix`.
  const fix = 'ownFix' in from ? from.ownFix : (from as { fix?: unknown }).fix
  return typeof fix === 'string' && fix !== '' ? oneLine(fix) : undefined
}

/** The first action after a failure, for a given reader. */
export function adviceFor(code: FailureCode, audience: Audience): string {
  const own = audience === 'command' ? COMMAND[code] : audience === 'producer' ? PRODUCER[code] : undefined
  return own ?? FAILURES[code].fix
}

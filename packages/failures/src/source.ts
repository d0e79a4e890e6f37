import type { FailureEntry } from './terms.js'

function transient(attempts: number, summary: string, fix: string): FailureEntry {
  const policy = { kind: 'retry', attempts } as const
  return {
    class: 'transient-source',
    burnsAttempt: true,
    policy,
    page: false,
    exitStatus: 1,
    owner: 'upstream',
    summary,
    fix,
  }
}

function permanent(exitStatus: 1 | 4, summary: string, fix: string): FailureEntry {
  const policy = { kind: 'dead' } as const
  return {
    class: 'permanent-source',
    burnsAttempt: true,
    policy,
    page: false,
    exitStatus,
    owner: 'upstream',
    summary,
    fix,
  }
}

/** Files that cannot be read (or written) at the moment: retried after a back-off. */
export const TRANSIENT_SOURCE = {
  SOURCE_BUSY: transient(
    12,
    'The source was locked or busy.',
    'Find out who holds it; it is tried again for about two hours.',
  ),
  SOURCE_IO: transient(
    12,
    'Reading the source failed (a fault of the disk or the file server, or missing rights).',
    'Check the file’s rights and the file server; it is tried again for about two hours.',
  ),
  SOURCE_CHANGED: transient(
    3,
    'The source changed while it was read.',
    'Have upstream finish and rename a file before it is enqueued, then replay the dead letter.',
  ),
  OUTPUT_IO: {
    ...transient(
      3,
      'Writing the restored file failed (disk full, read-only, or missing rights).',
      'Make room or correct the rights of the output folder.',
    ),
    owner: 'operator',
  },
} as const satisfies Record<string, FailureEntry>

/** Files that cannot be read as requested: dead at once, upstream must act. */
export const PERMANENT_SOURCE = {
  SOURCE_MISSING: permanent(
    4,
    'There is no such file below the root.',
    'Have upstream put it back, then replay the dead letter, or discard it.',
  ),
  SOURCE_NOT_REGULAR: permanent(
    1,
    'The source is not a regular file but a folder, a link, a device, a socket or a FIFO.',
    'Have upstream name the file itself.',
  ),
  SOURCE_OUTSIDE_ROOT: permanent(
    1,
    'The path leads out of its root (by a symbolic link).',
    'Find out who made the link; this may be an attack.',
  ),
  SOURCE_HARD_LINKED: permanent(
    1,
    'The file has more than one name (hard links), which its root refuses.',
    'Have upstream copy the file instead of linking it; someone may have linked a file that is not theirs.',
  ),
  SOURCE_TOO_LARGE: permanent(
    1,
    'The file is larger than the object store can keep as one object.',
    'Split the file, or use a store that takes larger objects.',
  ),
} as const satisfies Record<string, FailureEntry>

import type { FailureEntry } from './terms.js'

/** Not faults: something stopped the attempt. */
export const CONTROL = {
  FENCED: {
    class: 'control',
    burnsAttempt: false,
    policy: { kind: 'record' },
    page: false,
    exitStatus: 1,
    owner: 'on-call',
    summary: 'This worker lost its claim on the file; another attempt has it.',
    fix: 'Nothing for one; for many, look for workers that stand still longer than the lease.',
  },
  WORKER_DIED: {
    class: 'control',
    burnsAttempt: false,
    policy: { kind: 'record' },
    page: false,
    exitStatus: 1,
    owner: 'on-call',
    summary: 'The worker of an attempt died or stood still until its lease ran out; another attempt follows.',
    fix: 'Look at that worker (`npx sealfleet trace ID` names its process and host); three of these make a file POISON.',
  },
  POISON: {
    class: 'control',
    burnsAttempt: true,
    policy: { kind: 'dead' },
    page: false,
    exitStatus: 1,
    owner: 'developers',
    summary: 'Three attempts at this file ended without an outcome: it seems to kill the workers that take it.',
    fix: 'Look for crashes of those workers (`npx sealfleet trace ID` names them) before it is replayed.',
  },
  CANCELLED: {
    class: 'control',
    burnsAttempt: false,
    policy: { kind: 'record' },
    page: false,
    exitStatus: 1,
    owner: 'operator',
    summary: 'Someone cancelled the job.',
    fix: 'Nothing; enqueue the file again if that was a mistake.',
  },
} as const satisfies Record<string, FailureEntry>

/** What the classifier could not name. */
export const UNCLASSIFIED = {
  UNCLASSIFIED: {
    class: 'unclassified',
    burnsAttempt: true,
    policy: { kind: 'dead' },
    page: true,
    exitStatus: 1,
    owner: 'developers',
    summary: 'A failure that no code describes yet.',
    fix: 'Read its message and `npx sealfleet trace ID`, mend the cause and replay the dead letters; report the message.',
  },
} as const satisfies Record<string, FailureEntry>

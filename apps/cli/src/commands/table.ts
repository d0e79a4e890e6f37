import type { Command } from 'commander'
import type { Runner } from '../verb.js'

/** One command of the first level. Its module, and what that needs, is loaded when the command is given. */
export interface CommandEntry {
  readonly name: string
  /** As the command itself describes it; `--help` of the program prints it without loading the command. */
  readonly summary: string
  load(): Promise<(program: Command, runner: Runner) => void>
}

/** The commands as `--help` shows them: everyday commands first, rare ones last. */
export const COMMANDS: readonly { readonly heading: string; readonly commands: readonly CommandEntry[] }[] = [
  {
    heading: 'Files:',
    commands: [
      {
        name: 'enqueue',
        summary: 'accept files and queue them for the workers',
        load: async () => (await import('./enqueue/index.js')).enqueueVerb,
      },
      {
        name: 'status',
        summary: 'show the state of a file, of a batch, or of everything (reads only Postgres)',
        load: async () => (await import('./status/index.js')).statusVerb,
      },
      {
        name: 'list',
        summary: 'list accepted files, newest first',
        load: async () => (await import('./list/index.js')).listVerb,
      },
      {
        name: 'trace',
        summary: 'show all that is known of one file: every attempt, its keys, failures, dead letters, audit events',
        load: async () => (await import('./trace/index.js')).traceVerb,
      },
      {
        name: 'restore',
        summary: 'decrypt stored files: one to a file or standard output, or many into a folder',
        load: async () => (await import('./restore/index.js')).restoreVerb,
      },
      {
        name: 'verify',
        summary: 'check every byte of stored objects against their tags and records; uses only signing master keys',
        load: async () => (await import('./verify/index.js')).verifyVerb,
      },
      {
        name: 'rm',
        summary: 'remove stored files for good: their objects are deleted, their records stay as tombstones',
        load: async () => (await import('./rm/index.js')).rmVerb,
      },
      {
        name: 'shred',
        summary: 'make one file of a domain with detached nonces unreadable forever; needs two officers',
        load: async () => (await import('./shred/index.js')).shredVerb,
      },
    ],
  },
  {
    heading: 'Keeping and deleting:',
    commands: [
      {
        name: 'domains',
        summary: 'list, add and change key domains (retention classes), each with its own master keys',
        load: async () => (await import('./domains/index.js')).domainsVerbs,
      },
      {
        name: 'holds',
        summary: 'place, release and list holds: files under a hold are not deleted, and their keys are not destroyed',
        load: async () => (await import('./holds/index.js')).holdsVerbs,
      },
      {
        name: 'retention',
        summary: 'list files that are past the retention of their key domain',
        load: async () => (await import('./retention/index.js')).retentionVerbs,
      },
    ],
  },
  {
    heading: 'Master keys:',
    commands: [
      {
        name: 'keys',
        summary: 'create, list, check, rotate and destroy master keys in the HSM',
        load: async () => (await import('./keys/index.js')).keysVerbs,
      },
      {
        name: 'rekey',
        summary: 're-encrypt stored files: move them from an old key version to the active ones',
        load: async () => (await import('./rekey/index.js')).rekeyVerbs,
      },
      {
        name: 'rewrap',
        summary: 'wrap a domain’s detached nonces under its active KEK, so that older KEK versions can be destroyed',
        load: async () => (await import('./rewrap/index.js')).rewrapVerb,
      },
    ],
  },
  {
    heading: 'People and programs:',
    commands: [
      {
        name: 'operators',
        summary: 'manage operators, whose signatures allow what no one may do alone: destroy, shred, enrol',
        load: async () => (await import('./operators/index.js')).operatorsVerbs,
      },
      {
        name: 'requests',
        summary: 'show, sign, approve and cancel the requests that operators sign',
        load: async () => (await import('./requests/index.js')).requestsVerbs,
      },
      {
        name: 'tokens',
        summary: 'create, list and revoke the tokens with which programs call the HTTP API',
        load: async () => (await import('./tokens/index.js')).tokensVerbs,
      },
    ],
  },
  {
    heading: 'Proof:',
    commands: [
      {
        name: 'audit',
        summary: 'read and verify the audit log: who did what, and the proof that it is unchanged',
        load: async () => (await import('./audit/index.js')).auditVerbs,
      },
    ],
  },
  {
    heading: 'Running the fleet:',
    commands: [
      {
        name: 'doctor',
        summary: 'check settings, Redis, Postgres, S3, HSM, master keys, roots and clock; print a fix for each fault',
        load: async () => (await import('./doctor/index.js')).doctorVerb,
      },
      {
        name: 'fleet',
        summary: 'show the id of this fleet, or take over from a lost one',
        load: async () => (await import('./fleet/index.js')).fleetVerbs,
      },
      {
        name: 'queue',
        summary: 'show, pause, resume and probe the queues in Redis',
        load: async () => (await import('./queue/index.js')).queueVerbs,
      },
      {
        name: 'dlq',
        summary: 'list, replay or discard dead letters: files that could not be stored, and refused requests',
        load: async () => (await import('./dlq/index.js')).dlqVerbs,
      },
      {
        name: 'maintenance',
        summary: 'list the recurring tasks of maintenance, and run one of them now',
        load: async () => (await import('./maintenance/index.js')).maintenanceVerbs,
      },
    ],
  },
  {
    heading: 'When all else is lost:',
    commands: [
      {
        name: 'object',
        summary: 'read sealed objects directly; needs no database',
        load: async () => (await import('./object/index.js')).objectVerbs,
      },
      {
        name: 'recover',
        summary: 'rebuild the records of a lost database from the objects in a bucket and the keys in the HSM',
        load: async () => (await import('./recover/index.js')).recoverVerb,
      },
    ],
  },
]

import { runMaintenance } from './run.js'
import { runProgram } from '@sealfleet/runtime'

process.exitCode = await runProgram({
  name: 'maintenance',
  needs: ['database', 'redis', 's3', 'maintenance', 'ops'],
  optional: ['hsm'],
  help: `Usage: node bundle/maintenance.mjs [--config FILE]

Sealfleet's maintenance: relays the outbox to the queue, replaces jobs that Redis lost, deletes what dead attempts left in
the store, checks that every file is accounted for, chains the audit log. Needs Postgres, Redis and S3; no source folders. With an HSM
(SEALFLEET_PKCS11_MODULE, _TOKEN and the PIN) it also signs checkpoints and runs the other tasks that need a key; without
one those tasks are left to processes that have one. Run one or more: each task is done by one of them at a time.
Configuration is as for workers; see packages/config/README.md.

SIGTERM or SIGINT: stop running tasks at their next step, exit 0. A second signal: exit at once. Neither loses anything.
`,
  start: async (options) => {
    const running = await runMaintenance(options)
    return { stop: async () => running[Symbol.asyncDispose]() }
  },
})

import { runProgram } from '@sealfleet/runtime'
import { runWorker } from './run.js'

process.exitCode = await runProgram({
  name: 'worker',
  needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'],
  help: `Usage: node bundle/worker.mjs [--config FILE]

A Sealfleet worker: takes files from the ingest queue, seals them under keys from the HSM and keeps them in S3.
Configuration is SEALFLEET_* variables of the environment, or a file of them (--config); without either,
.sealfleet/env of this folder or one above. See packages/config/README.md.

SIGTERM or SIGINT: finish what runs within SEALFLEET_SHUTDOWN_GRACE_SECONDS, give the rest back, exit 0.
A second signal: exit at once.
`,
  start: ({ id, ...options }) => runWorker({ ...options, workerId: id }),
})

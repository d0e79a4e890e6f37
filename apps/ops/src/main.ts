import { runProgram } from '@sealfleet/runtime'
import { runOps } from './run.js'

process.exitCode = await runProgram({
  name: 'ops',
  needs: ['database', 'redis', 'ops'],
  help: `Usage: node bundle/ops.mjs [--config FILE]

The dashboard: Bull Board over all queues (read-only) at /queues/, /healthz, /readyz and /metrics, on
SEALFLEET_OPS_HOST:SEALFLEET_OPS_PORT (127.0.0.1:3900). Configuration is SEALFLEET_* variables of the environment, or a
file of them (--config); without either, .sealfleet/env of this folder or one above. It asks for no password: put a
proxy that does in front before it listens on any other address. SIGTERM or SIGINT: finish requests, exit 0.
`,
  start: async (options) => {
    const ops = await runOps(options)
    options.log.info({ port: ops.port }, 'listening')
    process.stdout.write(`${url(ops.host, ops.port)}\n`)
    return { stop: () => ops.close() }
  },
})

function url(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}/`
}

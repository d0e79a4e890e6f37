import { runProgram } from '@sealfleet/runtime'
import { runGateway } from './run.js'

process.exitCode = await runProgram({
  name: 'gateway',
  needs: ['database', 'redis', 's3', 'hsm', 'gateway'],
  help: `Usage: node bundle/gateway.mjs [--config FILE]

The HTTP API: files handed over, followed, verified and read back, on SEALFLEET_GATEWAY_HOST:SEALFLEET_GATEWAY_PORT
(127.0.0.1:3800). Its document is /openapi.json; callers have tokens (\`sealfleet tokens create\`). Configuration is
SEALFLEET_* variables of the environment, or a file of them (--config); without either, .sealfleet/env of this folder
or one above. SIGTERM or SIGINT: finish requests within SEALFLEET_GATEWAY_GRACE_SECONDS, exit 0.
`,
  start: async (options) => {
    const gateway = await runGateway(options)
    process.stdout.write(`${url(gateway.host, gateway.port)}\n`)
    return { stop: () => gateway.stop() }
  },
})

function url(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}/`
}

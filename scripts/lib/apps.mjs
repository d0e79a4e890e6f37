/** The applications, workers and ops, as supervised services: built, with the environment of this home, detached. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import util from 'node:util'
import { startDaemon } from './daemon.mjs'
import { readIfThere } from './files.mjs'
import { checkout } from './places.mjs'
import { processService } from './process-service.mjs'
import { Refusal } from './say.mjs'

/** `worker-1` runs apps/worker, `ops` runs apps/ops. @param {string} name */
const programOf = (name) => join(checkout, 'apps', name.replace(/-\d+$/, ''), 'dist', 'main.js')

/** @param {string} home @param {string} name */
const directoryOf = (home, name) => join(home, 'apps', name)

export const app = processService({
  program: 'node',
  directory: directoryOf,

  async start({ home, name, port, log }) {
    const program = programOf(name)
    if (!existsSync(program)) throw new Refusal(`${program} is missing: \`npm run build\` makes it.`)
    const settings = util.parseEnv((await readIfThere(join(home, 'env'))) ?? '')
    const cwd = directoryOf(home, name)
    await mkdir(cwd, { recursive: true, mode: 0o700 })
    const env = { ...process.env, ...settings, SEALFLEET_HTTP_HOST: '127.0.0.1', SEALFLEET_HTTP_PORT: String(port) }
    const command = process.execPath
    return await startDaemon({ name, command, args: [program], cwd, env, log, ready: /"msg":"ready|listening/ })
  },

  async answers({ port }) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(5_000) })
      await response.arrayBuffer()
      return response.ok
    } catch {
      return false
    }
  },
})

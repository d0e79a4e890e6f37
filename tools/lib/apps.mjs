/**
 * The applications (workers, maintenance, ops and the gateway) as supervised services: built, with the environment of this home,
 * detached.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import util from 'node:util'
import { bundleFolder } from './bundle.mjs'
import { startDaemon } from './daemon.mjs'
import { checkout } from './places.mjs'
import { processService } from './process-service.mjs'
import { Refusal } from './say.mjs'

/** `worker-1` runs `bundle/worker.mjs`, `maintenance`, `ops` and `gateway` run their own. @param {string} name */
const programOf = (name) => join(bundleFolder, `${name.replace(/-\d+$/, '')}.mjs`)

/** The variable with the port of a program's own health checks. @type {Record<string, string>} */
const PORT_VARIABLES = {
  ops: 'SEALFLEET_OPS_PORT',
  maintenance: 'SEALFLEET_MAINTENANCE_PORT',
  gateway: 'SEALFLEET_GATEWAY_PORT',
}

/** @param {string} home @param {string} name */
const directoryOf = (home, name) => join(home, 'apps', name)

/** @param {string} home */
function environmentText(home) {
  const path = join(home, 'env')
  if (!existsSync(path)) throw new Refusal(`${path} is missing: \`npm run services -- start\` writes it.`)
  return readFileSync(path, 'utf8')
}

/** Changes with the settings and with every build of any workspace. @param {string} home */
function fingerprint(home) {
  const hash = createHash('sha256').update(environmentText(home))
  for (const group of ['packages', 'apps']) {
    for (const name of readdirSync(join(checkout, group)).sort()) {
      const built = join(checkout, group, name, 'dist', '.tsbuildinfo')
      if (existsSync(built)) hash.update(`${built} ${statSync(built).mtimeMs}\n`)
    }
  }
  return hash.digest('hex').slice(0, 16)
}

/** Workers are ready when they take jobs, ops when Redis and Postgres answer it. @param {number} port */
async function isReady(port) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(5_000) })
    await response.arrayBuffer()
    return response.ok
  } catch (error) {
    if (error instanceof TypeError || (error instanceof DOMException && error.name === 'TimeoutError')) return false
    throw error
  }
}

export const app = processService({
  program: 'node',
  directory: directoryOf,
  fingerprint,
  graceMs: 40_000, // a worker lets running files finish for 25 s

  async start({ home, name, port, log }) {
    const program = programOf(name)
    if (!existsSync(program)) throw new Refusal(`${program} is missing: \`npm run build\` makes it.`)
    const cwd = directoryOf(home, name)
    await mkdir(cwd, { recursive: true, mode: 0o700 })
    const portVariable = PORT_VARIABLES[name] ?? 'SEALFLEET_WORKER_PORT'
    const env = {
      ...process.env,
      ...util.parseEnv(environmentText(home)),
      ...{ SEALFLEET_OPS_HOST: '127.0.0.1', [portVariable]: String(port) },
    }
    const ready = async () => await isReady(port)
    return await startDaemon({ name, command: process.execPath, args: [program], cwd, env, log, ready })
  },

  answers: async ({ port }) => await isReady(port),
})

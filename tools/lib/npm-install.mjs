/** Whether node_modules matches package-lock.json, and `npm ci` when it does not. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readIfThere } from './files.mjs'
import { checkout } from './places.mjs'
import { Refusal, say } from './say.mjs'
import { pkcs11Addon } from './tools.mjs'
import { waiting } from './waiting.mjs'

/** @typedef {Record<string, { version?: string, integrity?: string, link?: boolean, optional?: boolean, peer?: boolean }>} Packages */

/** @param {string} path @returns {Promise<Packages | undefined>} */
async function packagesOf(path) {
  const text = await readIfThere(path)
  return text === undefined ? undefined : JSON.parse(text).packages
}

/**
 * Compares the lockfile with the one npm leaves in node_modules after a complete installation. So a tree that `npm ci`
 * or `npm install` made by hand is accepted, and an interrupted or outdated one is not.
 */
export async function isInstalled() {
  const wanted = await packagesOf(join(checkout, 'package-lock.json'))
  const installed = await packagesOf(join(checkout, 'node_modules', '.package-lock.json'))
  if (!wanted) throw new Refusal('package-lock.json is missing: this is no complete checkout.')
  if (!installed || !existsSync(pkcs11Addon)) return false
  return Object.entries(wanted).every(([path, { version, integrity, link, optional, peer }]) => {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) return true // the workspaces themselves
    const found = installed[path]
    if (!found) return Boolean(optional || peer) // not for this platform
    return Boolean(link) || (found.version === version && found.integrity === integrity)
  })
}

/** `npm ci`, with npm's own errors. Its warnings concern packages that we do not run, and would worry new users. */
export async function install() {
  say('node_modules is not what the lockfile says')
  const code = await waiting('npm ci: downloading and building npm packages (a minute or two)', async () => {
    // Without npm's own spinner, which shows neither the step nor the time.
    const args = ['ci', '--no-audit', '--no-fund', '--no-progress', '--loglevel', 'error']
    const child = spawn('npm', args, { cwd: checkout, stdio: ['ignore', 2, 2] })
    return (await once(child, 'exit'))[0]
  })
  if (code !== 0) throw new Refusal(`\`npm ci\` failed (exit status ${code}); see above.`)
  if (!(await isInstalled())) throw new Refusal('`npm ci` ran, but node_modules is still not what the lockfile says.')
}

/**
 * `npm run setup [-- --tests]`: the requirements on the machine and in node_modules for building and running. Installs
 * missing ones if it may (Debian or Ubuntu, as root or with passwordless sudo), else names the command that would. When
 * everything is there it only looks, and takes a fraction of a second.
 *
 *   --tests  also what only the tests need
 */
import './lib/node-version.mjs'
import { join } from 'node:path'
import { aptCommand, asRoot, installPackages } from './lib/apt.mjs'
import { findCommand } from './lib/find-tools.mjs'
import { withLock } from './lib/lock.mjs'
import { install, isInstalled } from './lib/npm-install.mjs'
import { quickstartHome } from './lib/places.mjs'
import { Refusal, runMain, say } from './lib/say.mjs'
import { missingTools } from './lib/tools.mjs'
import { waiting } from './lib/waiting.mjs'

const tests = process.argv.includes('--tests')

await runMain(async () => {
  if (process.platform !== 'linux') {
    throw new Refusal(
      `The private services need Linux; this is ${process.platform}. docker-compose.yml has them in containers.`,
    )
  }
  if (isComplete() && (await isInstalled())) return
  // Two scripts in one checkout at once: the second finds everything done.
  await withLock(join(quickstartHome, 'setup'), setUp, { onWait: () => say('waiting: another set-up is at work') })
})

function isComplete() {
  return missingTools({ tests }).length === 0
}

async function setUp() {
  const missing = missingTools({ tests })
  if (missing.length > 0) {
    const packages = [...new Set(missing.flatMap((tool) => tool.packages))]
    const names = missing.map((tool) => tool.name).join(', ')
    if (!findCommand('apt-get')) {
      throw new Refusal(
        `These are missing: ${names}.\nThis system has no apt-get, so they cannot be installed from here. ` +
          `Install them with your system's package manager; on Debian the command is:\n\n  sudo ${aptCommand(packages)}\n`,
      )
    }
    const root = asRoot()
    if (!root) {
      throw new Refusal(
        `These are missing: ${names}.\nInstalling them needs root. Run this, and then the same command again:\n\n` +
          `  sudo apt-get update && sudo ${aptCommand(packages)}\n`,
      )
    }
    const log = join(quickstartHome, 'logs', 'apt.log')
    say(`apt-get install ${packages.join(' ')} (no system service is started; the log is ${log})`)
    await waiting('apt-get: downloading and installing Debian packages (a minute or two)', () =>
      installPackages(packages, { root, log }),
    )
    const still = missingTools({ tests }).map((tool) => tool.name)
    if (still.length > 0) throw new Refusal(`apt-get is done, but these are still missing: ${still.join(', ')}.`)
  }
  if (!(await isInstalled())) await install()
  say('set-up: complete')
}

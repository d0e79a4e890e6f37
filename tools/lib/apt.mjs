/**
 * Installs Debian packages without starting a single system service: while apt runs, /usr/sbin/policy-rc.d forbids it
 * (unless the machine has one already), and no system-wide Postgres cluster is made. Afterwards both are restored.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { findCommand } from './find-tools.mjs'
import { Refusal } from './say.mjs'

/** @param {string[]} packages */
export const aptCommand = (packages) => `apt-get install --no-install-recommends ${packages.join(' ')}`

/**
 * How to become root without a prompt: [] when we are root, `sudo -n` when that works, undefined otherwise.
 *
 * @returns {string[] | undefined}
 */
export function asRoot() {
  if (process.getuid?.() === 0) return []
  const sudo = findCommand('sudo')
  return sudo && spawnSync(sudo, ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? [sudo, '-n'] : undefined
}

/**
 * https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt: 101 is "action forbidden by policy".
 * createcluster.conf is kept by ucf; once the package is installed, its own text replaces ours.
 */
const SCRIPT = `set -eu
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
template=/usr/share/postgresql-common/createcluster.conf
own_policy= own_cluster=
restore() {
  if [ -n "$own_policy" ]; then rm -f "$policy"; fi
  if [ -n "$own_cluster" ]; then
    if [ -e "$template" ]; then sed 's/^ssl =.*/ssl = on/' "$template" > "$cluster"; else rm -f "$cluster"; fi
  fi
}
trap restore EXIT
trap 'exit 1' INT TERM HUP
if [ ! -e "$policy" ]; then
  own_policy=1
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
if [ ! -e "$cluster" ]; then
  own_cluster=1
  mkdir -p "\${cluster%/*}"
  echo 'create_main_cluster = false' > "$cluster"
fi
export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
apt-get -o DPkg::Lock::Timeout=300 update
apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
`

/**
 * `apt-get update`, then the installation; output goes to a log. Throws a Refusal with the log's end when it fails.
 *
 * @param {string[]} packages
 * @param {{ root: string[], log: string }} options `root`: see {@link asRoot}
 */
export async function installPackages(packages, { root, log }) {
  await mkdir(dirname(log), { recursive: true })
  const output = await open(log, 'a')
  try {
    const [command = 'sh', ...args] = [...root, 'sh', '-c', SCRIPT, 'sh', ...packages]
    const child = spawn(command, args, { stdio: ['ignore', output.fd, output.fd] })
    const [code] = await once(child, 'exit')
    if (code === 0) return
    const tail = (await readFile(log, 'utf8')).trimEnd().split('\n').slice(-12)
    throw new Refusal(
      `Installing packages failed (${code}). The log is ${log}; the last lines:\n${tail.map((line) => `  ${line}`).join('\n')}\n\n` +
        `To do it by hand, as root: apt-get update && ${aptCommand(packages)}`,
    )
  } finally {
    await output.close()
  }
}

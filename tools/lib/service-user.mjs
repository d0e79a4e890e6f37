/**
 * Postgres refuses to run as root. When root asks, it runs as `postgres` (or `nobody`), which must be able to reach its
 * data directory: a checkout below root's own home is closed to others.
 */
import { spawnSync } from 'node:child_process'
import { chown, mkdir, mkdtemp, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { Refusal } from './say.mjs'

/** @typedef {{ name: string, uid: number, gid: number }} ServiceUser */

/** The user to run as when we are root; undefined when we are not. @returns {Promise<ServiceUser | undefined>} */
export async function serviceUser() {
  if (process.getuid?.() !== 0) return undefined
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const found = lines.find((fields) => fields[0] === name)
    if (found) return { name, uid: Number(found[2]), gid: Number(found[3]) }
  }
  throw new Refusal('Postgres does not run as root, and this machine has neither a user `postgres` nor `nobody`.')
}

/**
 * A directory of mode 0700 that belongs to the user and that the user can reach: `wished` (whose parent must exist) if
 * its path is open, else a new one below /var/tmp (which, unlike /tmp, survives a reboot).
 *
 * @param {string} wished
 * @param {ServiceUser | undefined} user
 */
export async function ownDirectory(wished, user) {
  if (!user || canReach(dirname(wished), user)) {
    await mkdir(wished, { recursive: true, mode: 0o700 })
    if (user) await chown(wished, user.uid, user.gid)
    return wished
  }
  const directory = await mkdtemp(join('/var/tmp', 'sealfleet-postgres-'))
  await chown(directory, user.uid, user.gid)
  return directory
}

/** @param {string} directory @param {ServiceUser} user */
function canReach(directory, { uid, gid }) {
  return spawnSync('test', ['-x', directory], { uid, gid, cwd: '/' }).status === 0
}

/** The environment of a server that runs as another user: nothing from root's. @param {ServiceUser | undefined} user */
export function plainEnvironment(user) {
  const { PATH = '/usr/bin:/bin' } = process.env
  return { PATH, LC_ALL: 'C.UTF-8', HOME: user ? '/' : homedir(), ...(user && { USER: user.name }) }
}

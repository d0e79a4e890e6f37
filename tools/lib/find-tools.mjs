/** Finds programs and libraries where Debian installs them, without starting a process. */
import { accessSync, constants, existsSync, readdirSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * The first executable of that name on the PATH, /usr/sbin and /sbin included (Debian's users don't have them there).
 *
 * @param {string} name
 * @returns {string | undefined}
 */
export function findCommand(name) {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * The folder of Postgres's own programs (initdb, postgres, psql): the newest that Debian has, else the PATH's.
 *
 * @param {string} [major] only this version of Debian's, e.g. `15`
 * @returns {string | undefined}
 */
export function findPostgres(major) {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const wanted = versions.filter((version) => !major || version === major)
  const folders = wanted.map((version) => join(debian, version, 'bin'))
  const onPath = findCommand('initdb')
  if (onPath && (!major || versions.length === 0)) folders.push(dirname(realpathSync(onPath)))
  return folders.find((folder) => ['initdb', 'postgres', 'psql'].every((name) => isExecutable(join(folder, name))))
}

/**
 * The first library of that name in the places where distributions put PKCS#11 modules.
 *
 * @param {string} path relative, e.g. `softhsm/libsofthsm2.so`
 * @returns {string | undefined}
 */
export function findLibrary(path) {
  const multiarch = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu', arm: 'arm-linux-gnueabihf' }
  const triplet = /** @type {Record<string, string>} */ (multiarch)[process.arch] ?? `${process.arch}-linux-gnu`
  const folders = [`/usr/lib/${triplet}`, '/usr/lib', '/usr/local/lib', '/usr/lib64']
  return folders.map((folder) => join(folder, path)).find((file) => existsSync(file))
}

/** SoftHSM's PKCS#11 module. @returns {string | undefined} */
export const findSoftHsm = () => findLibrary('softhsm/libsofthsm2.so')

/** Small helpers for files: written whole or not at all, secrets readable by their owner only. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'

/**
 * Writes a file under its final name only when it is complete. Mode 0600 unless told otherwise.
 *
 * @param {string} path
 * @param {string} text
 * @param {number} [mode]
 */
export async function writeWhole(path, text, mode = 0o600) {
  const partial = `${path}.${process.pid}.new`
  await writeFile(partial, text, { mode })
  await rename(partial, path)
}

/**
 * Makes a directory that others may pass through but not list (0711), whatever the umask and no matter who made it first: the
 * user that Postgres runs as has its own directory further down. Secrets on the way have their own 0600.
 *
 * @param {string} directory
 */
export async function makePassable(directory) {
  await mkdir(directory, { recursive: true })
  await chmod(directory, 0o711)
}

/**
 * The text of a file, or undefined when there is none.
 *
 * @param {string} path
 * @returns {Promise<string | undefined>}
 */
export async function readIfThere(path) {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * The secret kept in a file, made on first use: `bytes` random bytes as hexadecimal digits, mode 0600.
 *
 * @param {string} path
 * @param {number} [bytes]
 */
export async function secretIn(path, bytes = 24) {
  const known = await readIfThere(path)
  if (known) return known
  const secret = randomBytes(bytes).toString('hex')
  await writeWhole(path, secret)
  return secret
}

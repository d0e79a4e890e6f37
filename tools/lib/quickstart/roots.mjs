/** Workers read nothing outside of named roots: a user's own path may need its own root. */
import { realpath, stat } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, sep } from 'node:path'
import { checkPath } from '../check-path.mjs'
import { Refusal } from '../say.mjs'

/**
 * The roots that have to be added so that every path lies below one: the given folders, and the folders of the given
 * files. A root is a whole folder, so a file directly in the home folder, in /tmp or in / is refused: to let workers
 * read all of that, name the folder itself.
 *
 * @param {string[]} paths files or folders
 * @param {Record<string, string>} known
 * @returns {Promise<Record<string, string>>} only the new ones: `path-1`, `path-2`, …
 */
export async function missingRoots(paths, known) {
  /** @type {Record<string, string>} */
  const added = {}
  const taken = await Promise.all(Object.values(known).map(async (root) => await realPathIfThere(root)))
  for (const path of paths) {
    const real = await realPathIfThere(path)
    if (real === undefined) throw new Refusal(`${path}: there is no such file or folder.`)
    if (taken.some((root) => root !== undefined && isBelow(real, root))) continue
    const isFolder = (await stat(real)).isDirectory()
    const root = isFolder ? real : dirname(real)
    if (!isFolder && (await broad()).includes(root)) {
      throw new Refusal(
        `${path} lies in ${root} itself, and a root is a whole folder: workers could read all that is below ${root}.\n` +
          `Put the file into a folder of its own, or allow it by naming the folder: npm run quickstart -- ${root}`,
      )
    }
    checkPath(root, 'a root')
    taken.push(root)
    let number = 1
    while (`path-${number}` in known || `path-${number}` in added) number++
    added[`path-${number}`] = root
  }
  return added
}

/** Folders with much more in them than the named file. */
async function broad() {
  const folders = await Promise.all([homedir(), tmpdir(), '/tmp', '/var/tmp'].map(realPathIfThere))
  return ['/', ...folders]
}

/** @param {string} path @param {string} root */
function isBelow(path, root) {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep)
}

/** @param {string} path */
async function realPathIfThere(path) {
  try {
    return await realpath(path)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return undefined
    throw error
  }
}

/** Workers read nothing outside of named roots: a path of the user's own may need a root of its own. */
import { realpath, stat } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, sep } from 'node:path'
import { checkPath } from '../check-path.mjs'
import { Refusal } from '../say.mjs'

/**
 * The roots that have to be added so that every path lies below one: the folders that were given, and of files the folders
 * they lie in. A root is a whole folder, so a file that lies in the home folder itself, in /tmp or in / is refused: to let
 * workers read all of that, one has to name the folder.
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

/** Folders that hold what no one thinks of when they name a file in them. */
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

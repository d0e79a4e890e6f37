/** Workers read nothing outside of named roots: a path of the user's own may need a root of its own. */
import { realpath, stat } from 'node:fs/promises'
import { dirname, sep } from 'node:path'
import { Refusal } from '../say.mjs'

/**
 * The roots that have to be added so that every path lies below one.
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
    const root = (await stat(real)).isDirectory() ? real : dirname(real)
    if (/[,\n]/.test(root)) throw new Refusal(`${root}: a root's path may hold neither comma nor line break.`)
    taken.push(root)
    let number = 1
    while (`path-${number}` in known || `path-${number}` in added) number++
    added[`path-${number}`] = root
  }
  return added
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

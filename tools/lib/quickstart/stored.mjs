/** The stored files among the requested ones, according to the database. */
import { join, sep } from 'node:path'

/**
 * @typedef {object} Stored
 * @property {string} id of the file
 * @property {string} root name of its root
 * @property {string} source path below the root
 * @property {string} path of the source, absolute
 * @property {number} size of the plaintext in bytes
 * @property {string} bucket
 * @property {string} objectKey
 */

/**
 * @param {Record<string, string>} env the application's variables
 * @param {readonly string[]} paths files and folders, absolute
 * @returns {Promise<Stored[]>} smallest first; at most 1,000
 */
export async function storedBelow(env, paths) {
  const { listFiles } = await import('@sealfleet/records/files')
  const { openRecords } = await import('@sealfleet/records')
  const roots = Object.fromEntries((env['SEALFLEET_ROOTS'] ?? '').split(',').map((root) => splitOnce(root, '=')))
  const records = await openRecords(env['SEALFLEET_DATABASE_URL'] ?? '')
  try {
    const { files } = await listFiles(records, { state: 'STORED', newestFirst: true, limit: 1_000 })
    /** @type {Map<string, Stored>} the newest of each path */
    const found = new Map()
    for (const { file, committed } of files) {
      const path = join(roots[file.source.root] ?? '', file.source.path)
      const wanted = paths.some((asked) => path === asked || path.startsWith(`${asked}${sep}`))
      if (!wanted || !committed || found.has(path)) continue
      const { plaintextLength, bucket, objectKey } = committed
      found.set(path, {
        id: file.id,
        root: file.source.root,
        source: file.source.path,
        path,
        size: plaintextLength ?? 0,
        bucket,
        objectKey,
      })
    }
    return [...found.values()].sort((a, b) => a.size - b.size || (a.path < b.path ? -1 : 1))
  } finally {
    await records.close()
  }
}

/** @param {string} text @param {string} separator @returns {[string, string]} */
function splitOnce(text, separator) {
  const at = text.indexOf(separator)
  return [text.slice(0, at), text.slice(at + 1)]
}

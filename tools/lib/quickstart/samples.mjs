/** Files to try it with: empty, one byte, a readable letter, just over a segment, and enough for several parts. */
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const MIB = 1024 * 1024

/** @type {readonly (readonly [string, number])[]} name and size in bytes */
const SAMPLES = [
  ['empty.txt', 0],
  ['one-byte.txt', 1],
  ['letter.txt', 3_000],
  ['measurements.csv', MIB + 1],
  ['archive.txt', 17 * MIB],
]

/**
 * Makes missing files, and leaves existing ones.
 *
 * @param {string} directory
 * @returns {Promise<string[]>} their paths
 */
export async function makeSamples(directory) {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const paths = []
  for (const [name, size] of SAMPLES) {
    const path = join(directory, name)
    paths.push(path)
    if ((await sizeOf(path)) !== size) await writeFile(path, readableText(name, size))
  }
  return paths
}

/** @param {string} path */
async function sizeOf(path) {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Numbered lines, so that any piece of them is recognised at once.
 *
 * @param {string} name
 * @param {number} size
 */
function readableText(name, size) {
  const bytes = Buffer.alloc(size)
  for (let offset = 0, line = 1; offset < size; line++) {
    offset += bytes.write(`${name}, line ${line}: anybody could read this if it were stored as it is.\n`, offset)
  }
  return bytes
}

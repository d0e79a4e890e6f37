import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** How a suite marks tests for the long run: the tag itself, or rows that are split. */
const MARKS = /\btags: \['long'\]|@module-tag long\b|\b(matrix|longTest|onServers)\(/

/**
 * The test files that hold a test of the long run, so that the run need not load all others.
 *
 * @param {string} root
 * @returns {Promise<string[]>} below `root`, in order
 */
export async function longFiles(root) {
  const houses = await Promise.all(
    ['packages', 'apps'].map(async (floor) => (await readdir(join(root, floor))).map((name) => join(floor, name))),
  )
  const found = await Promise.all(['tools', ...houses.flat()].map((house) => longFilesIn(root, join(house, 'test'))))
  return found.flat().toSorted()
}

/**
 * @param {string} root
 * @param {string} folder
 * @returns {Promise<string[]>}
 */
async function longFilesIn(root, folder) {
  const names = await readdir(join(root, folder), { recursive: true }).catch(() => [])
  const suites = names.filter((name) => name.endsWith('.test.ts')).map((name) => join(folder, name))
  const texts = await Promise.all(suites.map((suite) => readFile(join(root, suite), 'utf8')))
  return suites.filter((_, place) => MARKS.test(texts[place] ?? ''))
}

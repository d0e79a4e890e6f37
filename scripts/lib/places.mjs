/** Where things are: the checkout and the two homes of private services below it. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The top of the checkout. */
export const checkout = resolve(fileURLToPath(new URL('../../', import.meta.url)))

/** Home of the quickstart's services; it also holds `env`, which the CLI reads when nothing else is given. */
export const quickstartHome = join(checkout, '.sealfleet')

/** Home of the tests' services: other ports, other passwords, other data. */
export const testHome = join(quickstartHome, 'test')

/**
 * The named roots that a private installation starts with: source files are always a root and a path below it.
 *
 * @param {string} home
 * @returns {Record<string, string>}
 */
export function defaultRoots(home) {
  return { samples: join(home, 'samples'), checkout, home: homedir(), tmp: '/tmp' }
}

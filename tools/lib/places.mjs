/** Paths: the checkout and the two homes of private services below it. */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The top of the checkout. */
export const checkout = resolve(fileURLToPath(new URL('../../', import.meta.url)))

/** Home of the quickstart's services; it also holds `env`, the CLI's default configuration file. */
export const quickstartHome = join(checkout, '.sealfleet')

/** Home of the tests' services: other ports, other passwords, other data. */
export const testHome = join(quickstartHome, 'test')

/**
 * The one root that a private installation starts with, a folder of its own: workers read no folder that was not named.
 * `npm run quickstart -- PATH…` adds more.
 *
 * @param {string} home
 * @returns {Record<string, string>}
 */
export function defaultRoots(home) {
  return { samples: join(home, 'samples') }
}

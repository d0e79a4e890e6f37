/** services.json: the known state of the services below one home. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** @typedef {import('./process-service.mjs').ServiceRecord} ServiceRecord */
/** @typedef {{ version: 1, roots: Record<string, string>, services: Record<string, ServiceRecord> }} ServiceState */

/**
 * The recorded state; an empty one when there is none, or when a crash left an unreadable file: servers without a
 * record are found by their working directories.
 *
 * @param {string} home
 * @returns {ServiceState}
 */
export function loadState(home) {
  try {
    const state = JSON.parse(readFileSync(join(home, 'services.json'), 'utf8'))
    if (state?.version === 1 && typeof state.services === 'object') return { roots: {}, ...state }
  } catch (error) {
    if (!(error instanceof SyntaxError) && /** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error
  }
  return { version: 1, roots: {}, services: {} }
}

/**
 * Adds named roots for source files. Call it before anything that writes the environment.
 *
 * @param {string} home
 * @param {Record<string, string>} roots
 */
export function rememberRoots(home, roots) {
  if (Object.keys(roots).length === 0) return
  const state = loadState(home)
  saveState(home, { ...state, roots: { ...state.roots, ...roots } })
}

/**
 * Synchronous, so that services that start in parallel never overwrite each other's entries.
 *
 * @param {string} home
 * @param {ServiceState} state
 */
export function saveState(home, state) {
  mkdirSync(home, { recursive: true })
  const partial = join(home, `services.json.${process.pid}.new`)
  writeFileSync(partial, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 })
  renameSync(partial, join(home, 'services.json'))
}

/**
 * Which workspace may import which. A package imports packages on lower floors only, an app any package; no file
 * reaches into another workspace by a path, and no file imports itself through others.
 */
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, posix, relative, sep } from 'node:path'
import ts from 'typescript'

/** The floors, from the ground up. A package that is not listed may not be imported. */
export const FLOORS = [
  ['telemetry', 'kernel'],
  ['config', 'format'],
  ['failures'],
  ['records', 'hsm', 'store', 'queue'],
  ['objects', 'client'],
  ['attempts', 'runtime'],
  ['keys'],
  ['audit'],
  ['maintenance'],
  ['testkit'],
]
const FLOOR_OF = new Map(FLOORS.flatMap((names, floor) => names.map((name) => /** @type {const} */ ([name, floor]))))

/**
 * @param {string} root absolute path of a checkout
 * @returns {Promise<readonly string[]>} a sentence for each violation, with the file's path from the root
 */
export async function checkImports(root) {
  /** @type {Map<string, readonly string[]>} */
  const importsOf = new Map()
  const violations = []
  for (const file of await sourcesBelow(root)) {
    const inner = []
    for (const specifier of specifiersOf(await readFile(join(root, file), 'utf8'))) {
      if (specifier.startsWith('.')) {
        const target = posix.join(dirname(file), specifier).replace(/\.js$/, '.ts')
        if (workspaceOf(target) === workspaceOf(file)) inner.push(target)
        else violations.push(`${file} reaches into another workspace: '${specifier}'`)
      } else {
        const problem = crossing(file, specifier)
        if (problem !== undefined) violations.push(problem)
      }
    }
    importsOf.set(file, inner)
  }
  return [...violations, ...circlesIn(importsOf).map((circle) => `a circle of imports: ${circle.join(' → ')}`)]
}

/** @param {string} file @param {string} specifier */
function crossing(file, specifier) {
  const name = /^@sealfleet\/([^/]+)/.exec(specifier)?.[1]
  if (name === undefined) return undefined
  const floor = FLOOR_OF.get(name)
  if (floor === undefined) return `${file} imports '${specifier}', which is on no floor (tools/lib/imports.mjs)`
  const [kind, own = ''] = workspaceOf(file).split('/')
  if (kind === 'apps') return undefined
  const ownFloor = FLOOR_OF.get(own)
  if (ownFloor === undefined) return `packages/${own} is on no floor (tools/lib/imports.mjs)`
  return floor < ownFloor ? undefined : `${file} imports '${specifier}', which is not on a lower floor`
}

/** @param {string} file */
const workspaceOf = (file) => file.split('/').slice(0, 2).join('/')

/** @param {string} source */
const specifiersOf = (source) => ts.preProcessFile(source).importedFiles.map(({ fileName }) => fileName)

/** @param {string} root @returns {Promise<string[]>} paths from the root, with slashes */
async function sourcesBelow(root) {
  const found = []
  for (const kind of ['packages', 'apps'])
    for (const workspace of await readdir(join(root, kind))) {
      const source = join(root, kind, workspace, 'src')
      const entries = await readdir(source, { recursive: true, withFileTypes: true }).catch(() => [])
      for (const entry of entries)
        if (entry.isFile() && entry.name.endsWith('.ts'))
          found.push(relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    }
  return found.filter((file) => !file.includes('/generated/')).sort()
}

/**
 * The strongly connected components of more than one file (R. Tarjan, "Depth-first search and linear graph algorithms", 1972).
 *
 * @param {ReadonlyMap<string, readonly string[]>} importsOf
 * @returns {readonly (readonly string[])[]}
 */
function circlesIn(importsOf) {
  /** @type {Map<string, { index: number, low: number, open: boolean }>} */
  const seen = new Map()
  /** @type {string[]} */
  const open = []
  /** @type {string[][]} */
  const circles = []
  /** @param {string} file */
  const visit = (file) => {
    const state = { index: seen.size, low: seen.size, open: true }
    seen.set(file, state)
    open.push(file)
    for (const target of importsOf.get(file) ?? []) {
      if (!importsOf.has(target)) continue
      const next = seen.get(target) ?? visit(target)
      if (next.open) state.low = Math.min(state.low, next.low)
    }
    if (state.low === state.index) {
      const circle = open.splice(open.indexOf(file))
      for (const one of circle) Object.assign(/** @type {object} */ (seen.get(one)), { open: false })
      if (circle.length > 1 || importsOf.get(file)?.includes(file)) circles.push(circle)
    }
    return state
  }
  for (const file of importsOf.keys()) if (!seen.has(file)) visit(file)
  return circles
}

/**
 * Bundles the compiled programs: each becomes one file and a few shared chunks below `bundle/`. Loading some 900 modules
 * one by one takes a program over a second of CPU; a bundle takes less than half of it. Nothing is minified, so that a
 * stack trace can be read.
 *
 * What stands in `bundle/` is made from `dist/` folders and node_modules alone; `npm run build` and the set-up of vitest
 * make it again whenever one of its inputs changed.
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import { checkout } from './places.mjs'

export const bundleFolder = join(checkout, 'bundle')

/** Programs by the name of their bundle. Those of the tests are bundled too: they start often. */
const PROGRAMS = {
  sealfleet: 'apps/cli/dist/main.js',
  worker: 'apps/worker/dist/main.js',
  maintenance: 'apps/maintenance/dist/main.js',
  ops: 'apps/ops/dist/main.js',
  gateway: 'apps/gateway/dist/main.js',
  agent: 'packages/hsm/dist/agent/main.js',
  migrate: 'packages/records/dist/migrate/command.js',
}
const TEST_PROGRAMS = {
  'test-crash-worker': 'apps/worker/test/doomed-worker.mjs',
  'test-crash-destroyer': 'apps/worker/test/doomed-destroyer.mjs',
  'test-chaos-worker': 'tools/chaos/worker.mjs',
}

const MANIFEST = 'inputs.json'

/**
 * Bundles every program, unless nothing it is made from has changed. Old chunks are removed.
 *
 * @returns {Promise<boolean>} whether there was something to do
 */
export async function bundlePrograms() {
  // An image is built without tests.
  const programs = Object.fromEntries(
    Object.entries({ ...PROGRAMS, ...TEST_PROGRAMS }).filter(([, file]) => existsSync(join(checkout, file))),
  )
  if (await isFresh(programs)) return false
  const { rolldown } = await import('rolldown')
  const bundle = await rolldown({
    cwd: checkout,
    input: programs,
    platform: 'node',
    // These load a native part or pages by their own path.
    external: ['pkcs11js', /^@bull-board\//],
    plugins: [
      { name: 'original-urls', transform: { filter: { code: 'import.meta.url' }, handler: originalUrl } },
      { name: 'wasm-files', transform: { filter: { id: /\.wasm-base64\.mjs$/ }, handler: wasmFile } },
    ],
    checks: { eval: false },
  })
  const { output } = await bundle.write({
    dir: bundleFolder,
    format: 'esm',
    entryFileNames: '[name].mjs',
    chunkFileNames: '[name]-[hash].mjs',
  })
  await bundle.close()
  const modules = output.flatMap((file) => (file.type === 'chunk' ? Object.keys(file.modules) : []))
  const ours = modules.filter((id) => id.startsWith(checkout) && !id.includes(`${sep}node_modules${sep}`))
  await writeManifest(programs, ours, foreignModules(output))
  const made = new Set([MANIFEST, ...output.map((file) => file.fileName)])
  for (const name of await readdir(bundleFolder)) {
    if (!made.has(name)) await rm(join(bundleFolder, name), { recursive: true })
  }
  return true
}

/**
 * A module keeps the URL of the file that it was: what it finds beside itself (a migration, a thread's program) is there.
 *
 * @param {string} code @param {string} id
 */
function originalUrl(code, id) {
  const path = relative(bundleFolder, id).split(sep).join('/')
  return code.replaceAll('import.meta.url', `new URL(${JSON.stringify(path)}, import.meta.url).href`)
}

/**
 * Prisma's WebAssembly is a file of the bundle, not a text of 2.3 MB that is parsed and decoded at each start.
 * `Buffer.from(wasm, 'base64')` in Prisma's generated client copies a Buffer as it is.
 *
 * @this {import('rolldown').PluginContext}
 * @param {string} code
 * @param {string} id
 */
function wasmFile(code, id) {
  const [, base64] = /^const wasm = "([A-Za-z0-9+/=]+)";\s*export \{ wasm \}\s*$/.exec(code) ?? []
  if (base64 === undefined)
    throw new Error(`${id} is not what Prisma 7.10 made of it: look how it holds its WebAssembly`)
  const file = this.emitFile({
    type: 'asset',
    fileName: basename(id).replace('-base64.mjs', ''),
    source: Buffer.from(base64, 'base64'),
  })
  return [
    "import { readFileSync } from 'node:fs'",
    `export const wasm = readFileSync(new URL(import.meta.ROLLUP_FILE_URL_${file}))`,
  ].join('\n')
}

/** @param {Record<string, string>} programs */
async function isFresh(programs) {
  const file = join(bundleFolder, MANIFEST)
  if (!existsSync(file)) return false
  const known = JSON.parse(await readFile(file, 'utf8'))
  if (JSON.stringify(known.programs) !== JSON.stringify(programs)) return false
  const states = await Promise.all(Object.keys(known.inputs).map(stateOf))
  return Object.values(known.inputs).every((state, i) => state === states[i])
}

/**
 * The modules of other packages by the chunk that holds them: the command line's package names their licences.
 *
 * @param {readonly (import('rolldown').OutputChunk | import('rolldown').OutputAsset)[]} output
 * @returns {Record<string, string[]>} paths from the top of the checkout, by file name
 */
function foreignModules(output) {
  const chunks = output.flatMap((file) => (file.type === 'chunk' ? [file] : []))
  return Object.fromEntries(
    chunks.map(({ fileName, modules }) => [
      fileName,
      Object.keys(modules)
        .filter((id) => id.startsWith(checkout) && id.includes(`${sep}node_modules${sep}`))
        .map((id) => relative(checkout, id)),
    ]),
  )
}

/**
 * Modules of other packages by file name of the bundle.
 *
 * @returns {Promise<Record<string, string[]>>}
 */
export async function bundledModules() {
  return JSON.parse(await readFile(join(bundleFolder, MANIFEST), 'utf8')).foreign
}

/**
 * @param {Record<string, string>} programs
 * @param {string[]} modules
 * @param {Record<string, string[]>} foreign
 */
async function writeManifest(programs, modules, foreign) {
  const own = ['package-lock.json', 'tools/lib/bundle.mjs'].map((name) => join(checkout, name))
  /** @type {Record<string, string | undefined>} */
  const inputs = {}
  for (const path of [...own, ...modules].sort())
    inputs[relative(checkout, path)] = await stateOf(relative(checkout, path))
  await mkdir(dirname(join(bundleFolder, MANIFEST)), { recursive: true })
  await writeFile(join(bundleFolder, MANIFEST), JSON.stringify({ programs, inputs, foreign }, undefined, 1))
}

/** @param {string} path below the checkout */
async function stateOf(path) {
  const found = await stat(join(checkout, path)).catch(() => undefined)
  return found && `${found.size} ${found.mtimeMs}`
}

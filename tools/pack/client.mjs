/**
 * The package `@sealfleet/client`: a file for each entry with what it uses of the fleet's packages, which are private
 * (docs/decisions/0037), and the declarations of its own types.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { checkout } from '../lib/places.mjs'
import { Refusal } from '../lib/say.mjs'
import { compile, manifestOf, packed, withoutLinks, writeLicences, writeManifest } from './stage.mjs'

const WORKSPACE = 'packages/client'
const compiled = join(checkout, WORKSPACE, 'dist')

/** @returns {Promise<string>} absolute path of the `.tgz` */
export async function packClient() {
  await compile(WORKSPACE)
  const { name, version, description, license, type, sideEffects, exports, engines, peerDependencies, ...rest } =
    await manifestOf(WORKSPACE)
  const entries = Object.values(exports).map(({ default: file }) => file.replace('./dist/', ''))
  return packed(async (stage) => {
    const modules = await bundle(stage, entries, Object.keys(peerDependencies))
    for (const entry of entries) await copyDeclarations(stage, entry.replace(/\.js$/, '.d.ts'))
    await writeLicences(stage, modules)
    await writeFile(join(stage, 'README.md'), await withoutLinks(`${WORKSPACE}/README.md`))
    const { peerDependenciesMeta } = rest
    await writeManifest(stage, {
      ...{ name, version, description, license, type, sideEffects, exports, engines },
      ...{ peerDependencies, peerDependenciesMeta },
    })
  })
}

/**
 * @param {string} stage
 * @param {readonly string[]} entries
 * @param {readonly string[]} external packages that are installed beside it
 * @returns {Promise<readonly string[]>} the modules that it holds
 */
async function bundle(stage, entries, external) {
  const { rolldown } = await import('rolldown')
  const made = await rolldown({
    cwd: checkout,
    input: Object.fromEntries(entries.map((file) => [file.replace(/\.js$/, ''), join(compiled, file)])),
    platform: 'node',
    external: [...external],
  })
  const { output } = await made.write({
    dir: join(stage, 'dist'),
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
  })
  await made.close()
  const chunks = output.flatMap((file) => (file.type === 'chunk' ? [file] : []))
  const allowed = (/** @type {string} */ id) =>
    id.startsWith('node:') || external.includes(id) || id.startsWith('chunks/')
  const files = new Set(output.map(({ fileName }) => fileName))
  for (const { fileName, imports, dynamicImports } of chunks)
    for (const id of [...imports, ...dynamicImports])
      if (!allowed(id) && !files.has(id))
        throw new Refusal(`${fileName} imports ${id}, which package.json does not list`)
  return chunks.flatMap(({ modules }) => Object.keys(modules))
}

/**
 * A declaration and those that it imports. Its types must be its own: a stranger has none of the fleet's packages.
 *
 * @param {string} stage
 * @param {string} file from the folder of the compiled client
 * @param {Set<string>} done
 */
async function copyDeclarations(stage, file, done = new Set()) {
  if (done.has(file)) return
  done.add(file)
  const text = await readFile(join(compiled, file), 'utf8')
  const target = join(stage, 'dist', file)
  await mkdir(dirname(target), { recursive: true })
  await writeFile(target, text.replace(/^\/\/# sourceMappingURL=.*\n?/m, ''))
  for (const { fileName } of ts.preProcessFile(text).importedFiles) {
    if (fileName.startsWith('.'))
      await copyDeclarations(stage, join(dirname(file), fileName).replace(/\.js$/, '.d.ts'), done)
    else if (!fileName.startsWith('node:')) throw new Refusal(`${file} imports ${fileName}: its types must be its own`)
  }
}

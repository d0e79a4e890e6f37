/**
 * The package `sealfleet`: the command line. It has the places of a checkout (`bundle/`, `prisma/migrations`,
 * `packages/kernel`), so that what a program finds beside itself is where it was; and of them what the command line
 * reaches, no more.
 */
import { existsSync } from 'node:fs'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import ts from 'typescript'
import { bundledModules, bundleFolder, bundlePrograms } from '../lib/bundle.mjs'
import { checkout } from '../lib/places.mjs'
import { Refusal } from '../lib/say.mjs'
import { compile, manifestOf, packed, withoutLinks, writeLicences, writeManifest } from './stage.mjs'

/** Programs of the bundle that the package has; those of a server are none of its business. */
const PROGRAMS = ['sealfleet.mjs', 'agent.mjs', 'migrate.mjs']

const BUILT_IN = new Set(builtinModules)

/** What is in the package as it is in the checkout. */
const COPIED = [
  'apps/cli/bin',
  'prisma/migrations',
  'packages/kernel/binding.gyp',
  'packages/kernel/native',
  'packages/kernel/package.json',
  // A thread of the agent, which runs from a file of its own.
  'packages/hsm/dist/agent/parent-watch.js',
  'tools/build-kernel.mjs',
]

/** @returns {Promise<string>} absolute path of the `.tgz` */
export async function packCli() {
  await compile('apps/cli')
  await bundlePrograms()
  const { name, version, license, type, engines } = await manifestOf('apps/cli')
  const hsm = await manifestOf('packages/hsm')
  return packed(async (stage) => {
    for (const path of COPIED) await cp(join(checkout, path), join(stage, path), { recursive: true })
    const modules = await copyPrograms(stage)
    await writeLicences(stage, modules)
    await writeFile(join(stage, 'README.md'), await withoutLinks('apps/cli/README.md'))
    await writeManifest(stage, {
      ...{ name, version, description: 'The command line of a Sealfleet', license, type, engines },
      bin: { sealfleet: 'apps/cli/bin/sealfleet.mjs', 'sealfleet-migrate': 'apps/cli/bin/sealfleet-migrate.mjs' },
      scripts: { install: 'node tools/build-kernel.mjs' },
      dependencies: { pkcs11js: hsm.dependencies.pkcs11js },
    })
  })
}

/**
 * Copies the programs with the chunks and files that they reach.
 *
 * @param {string} stage
 * @returns {Promise<readonly string[]>} absolute paths of the modules of which they are made
 */
async function copyPrograms(stage) {
  await mkdir(join(stage, 'bundle'))
  const files = new Set(PROGRAMS)
  const foreign = await bundledModules()
  const modules = []
  for (const file of files) {
    if (!existsSync(join(bundleFolder, file))) throw new Refusal(`bundle/${file} is not there: npm run build`)
    await cp(join(bundleFolder, file), join(stage, 'bundle', file))
    if (!file.endsWith('.mjs')) continue
    const code = await readFile(join(bundleFolder, file), 'utf8')
    modules.push(...(foreign[file] ?? []).map((path) => join(checkout, path)))
    for (const [, asset = ''] of code.matchAll(/\bnew URL\("([\w.-]+\.wasm)", import\.meta\.url\)/g)) files.add(asset)
    for (const { fileName } of ts.preProcessFile(code).importedFiles) {
      if (fileName.startsWith('./')) files.add(fileName.slice(2))
      else if (!fileName.startsWith('node:') && !BUILT_IN.has(fileName))
        throw new Refusal(`bundle/${file} imports ${fileName}, which is no dependency of the package`)
    }
  }
  return modules
}

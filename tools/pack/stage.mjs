/**
 * A package as a folder below `dist/`, and its `.tgz` beside it. What it bundles is named in THIRD-PARTY-LICENSES.txt:
 * their licences ask for that.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { checkout } from '../lib/places.mjs'
import { runNode } from '../lib/run.mjs'
import { Refusal } from '../lib/say.mjs'
import { waiting } from '../lib/waiting.mjs'

const folder = join(checkout, 'dist')

/** Compiles a workspace and what it imports. @param {string} workspace its path from the top of the checkout */
export async function compile(workspace) {
  const tsc = join(checkout, 'node_modules', 'typescript', 'bin', 'tsc')
  const status = await waiting('tsc: compiling what has changed', () => runNode([tsc, '-b', join(checkout, workspace)]))
  if (status !== 0) throw new Refusal(`${workspace} does not compile; see above.`)
}

/**
 * Fills a fresh folder, and packs it by npm.
 *
 * @param {(stage: string) => Promise<void>} fill
 * @returns {Promise<string>} absolute path of the `.tgz`
 */
export async function packed(fill) {
  await mkdir(folder, { recursive: true })
  const stage = await mkdtemp(join(folder, 'stage-'))
  try {
    await fill(stage)
    await cp(join(checkout, 'LICENSE'), join(stage, 'LICENSE'))
    const args = ['pack', '--json', '--ignore-scripts', '--loglevel', 'error']
    const npm = spawn('npm', args, { cwd: stage, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    npm.stdout.setEncoding('utf8').on('data', (text) => (output += text))
    const [status] = await once(npm, 'close')
    if (status !== 0) throw new Refusal(`\`npm pack\` failed (exit status ${status}); see above.`)
    const [{ filename }] = JSON.parse(output)
    const path = join(folder, filename)
    await rename(join(stage, filename), path)
    return path
  } finally {
    await rm(stage, { recursive: true, force: true })
  }
}

/** @param {string} stage @param {Record<string, unknown>} manifest */
export async function writeManifest(stage, manifest) {
  await writeFile(join(stage, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
}

/** @param {string} workspace @returns {Promise<any>} */
export async function manifestOf(workspace) {
  return JSON.parse(await readFile(join(checkout, workspace, 'package.json'), 'utf8'))
}

/** A README whose links into the checkout are plain words: the package has none of those files. @param {string} file */
export async function withoutLinks(file) {
  return (await readFile(join(checkout, file), 'utf8')).replaceAll(/\[([^\]]*)\]\((?!https?:|#)[^)]*\)/g, '$1')
}

/**
 * Writes the licences of bundled packages.
 *
 * @param {string} stage
 * @param {readonly string[]} modules absolute paths of all modules in the bundle
 */
export async function writeLicences(stage, modules) {
  const roots = new Set(modules.flatMap((id) => packageOf(id) ?? []))
  const parts = []
  for (const root of [...roots].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
    const file = (await readdir(root)).find((entry) => /^licen[cs]e(\.\w+)?$/i.test(entry))
    const text = file === undefined ? `Licence: ${license}` : (await readFile(join(root, file), 'utf8')).trim()
    parts.push(`${name} ${version}\n\n${text}\n`)
  }
  if (parts.length > 0) await writeFile(join(stage, 'THIRD-PARTY-LICENSES.txt'), parts.join(`\n${'-'.repeat(72)}\n\n`))
}

/** @param {string} id @returns {string | undefined} the folder of the package in node_modules that a module is of */
function packageOf(id) {
  const marker = `${sep}node_modules${sep}`
  const at = id.lastIndexOf(marker)
  if (at === -1) return undefined
  const [scope = '', name = ''] = id.slice(at + marker.length).split(sep)
  const root = join(id.slice(0, at + marker.length), scope.startsWith('@') ? join(scope, name) : scope)
  return existsSync(join(root, 'package.json')) ? root : undefined
}

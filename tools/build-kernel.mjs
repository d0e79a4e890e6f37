/**
 * Builds the native kernel (packages/kernel) by node-gyp, unless what is built is up to date. `npm ci` and
 * `npm run build` run it. Without a compiler, or when the build fails, it says what to do and ends with 0: sealing and
 * opening then take the TypeScript path.
 */
import { createHash } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const folder = join(import.meta.dirname, '..', 'packages', 'kernel')
const build = join(folder, 'build')
const addon = join(build, 'Release', 'kernel.node')
const stamp = join(build, 'built-from')

/** What the addon depends on. One build serves every version of Node with the same major version of OpenSSL. */
function inputs() {
  const hash = createHash('sha256')
  const natives = readdirSync(join(folder, 'native')).sort()
  for (const file of ['binding.gyp', ...natives.map((name) => join('native', name))]) {
    hash.update(`${file}\n`).update(readFileSync(join(folder, file)))
  }
  const openssl = String(process.versions.openssl).split('.')[0]
  return `${hash.digest('hex')} ${process.platform} ${process.arch} openssl ${openssl}\n`
}

/** Node's headers beside this very node, as its archives and Debian's packages have them: nothing to download. */
function headers() {
  const root = dirname(dirname(process.execPath))
  const file = join(root, 'include', 'node', 'node_version.h')
  if (!existsSync(file)) return []
  const major = /^#define NODE_MAJOR_VERSION (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1]
  return major === process.versions.node.split('.')[0] ? [`--nodedir=${root}`] : []
}

/** Runs npm's own node-gyp. Resolves with its exit status and output. */
async function nodeGyp() {
  const args = ['run', '--silent', 'node-gyp', '--', 'rebuild', ...headers()]
  const child = spawn('npm', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const [status] = await once(child, 'close')
  return { status, output }
}

/** Resolves when there is nothing more to do; a failure is told, not thrown. */
async function main() {
  const wanted = inputs()
  if (existsSync(addon) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  const { status, output } = await nodeGyp()
  if (status === 0 && existsSync(addon)) {
    writeFileSync(stamp, wanted)
    return
  }
  mkdirSync(build, { recursive: true })
  const log = join(build, 'failed.log')
  writeFileSync(log, output)
  console.error(
    `The native kernel could not be built (${log} has the whole output):\n` +
      output.trimEnd().split('\n').slice(-5).join('\n') +
      '\nSealing and opening take the slower TypeScript path. They need gcc, g++, make, python3 and the headers of Node;' +
      ' with these installed, run `npm run build` again.',
  )
}

try {
  await main()
} catch (error) {
  console.error(`The native kernel could not be built: ${error instanceof Error ? error.message : String(error)}`)
}

/**
 * `npm run vectors -- FILE…`, from a fresh clone on: installs dependencies if they are missing, compiles the runner
 * (which lives with the tests of packages/format, since it holds software keys) if it changed, and runs it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')

/**
 * Runs a preparation whose output belongs on stderr; ends this process when it fails.
 * @param {string} command
 * @param {string[]} args
 */
function prepare(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status === 0) return
  console.error(`vectors: could not run ${command} ${args.join(' ')}${error ? `: ${error.message}` : ''}`)
  process.exit(1)
}

if (!existsSync(compiler)) prepare('npm', ['ci'])
prepare(process.execPath, [compiler, '-b', 'packages/format/tsconfig.vectors.json'])
const runner = join(root, 'packages', 'format', 'dist-test', 'test', 'vectors.js')
const { status } = spawnSync(process.execPath, [runner, ...process.argv.slice(2)], { stdio: 'inherit' })
process.exitCode = status ?? 1

/** `npm run bench -- NAME [flags]`: compiles the measured code and runs tools/bench/NAME.mjs. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const folder = join(import.meta.dirname, 'bench')
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.mjs'))
  .map((file) => file.slice(0, -4))
  .sort()
const [name = '', ...flags] = process.argv.slice(2)

if (!names.includes(name)) {
  console.error(`usage: npm run bench -- NAME [flags]\nNAME is one of: ${names.join(', ')}`)
  process.exit(2)
}
const root = join(import.meta.dirname, '..')
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
if (!existsSync(compiler)) {
  console.error('bench: the dependencies are missing: run `npm ci` first')
  process.exit(1)
}
// Output of the compiler goes to stderr: stdout may be JSON for a program.
/** @param {string[]} args */
const step = (args) => {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) process.exit(1)
}
if (name !== 'seal') {
  step([join(root, 'tools', 'build.mjs')])
} else {
  step([join(root, 'tools', 'build-kernel.mjs')])
  step([compiler, '-b', 'packages/format'])
}
const { status } = spawnSync(process.execPath, [join(folder, `${name}.mjs`), ...flags], { stdio: 'inherit' })
process.exitCode = status ?? 1

import { spawn } from 'node:child_process'
import path from 'node:path'
import { expect } from 'vitest'
import type { World } from './world.js'

const BIN = path.resolve(import.meta.dirname, '../../bin/sealfleet.mjs')

/**
 * Runs a command on a terminal of its own (util-linux's script), `before` and `after` it shell commands on the same one; answers
 * each prompt when it is there; what was shown.
 */
export async function onTerminal(
  world: World,
  command: string,
  answers: readonly (readonly [RegExp, string])[],
  { before = 'true', after = 'true' }: { readonly before?: string; readonly after?: string } = {},
): Promise<string> {
  const line = `${before}; ${process.execPath} ${BIN} ${command}; ${after}`
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    cwd: world.data,
    env: { ...world.env, TERM: 'dumb' },
  })
  const left = [...answers]
  let shown = ''
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString()
    const [next] = left
    if (next?.[0].test(shown) !== true) return
    left.shift()
    child.stdin.write(next[1])
  })
  await new Promise((resolve) => child.once('close', resolve))
  expect(left, shown).toEqual([])
  return shown
}

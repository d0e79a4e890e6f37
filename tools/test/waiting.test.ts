import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, vi } from 'vitest'
import { checkPath } from '../lib/check-path.mjs'
import { formatEnvironment } from '../lib/environment.mjs'
import { waiting } from '../lib/waiting.mjs'
import { parseEnvFile } from '@sealfleet/config'
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { tempDir } from '@sealfleet/testkit'
import { parseEnv } from 'node:util'

function sink(isTTY: boolean) {
  let text = ''
  return { isTTY, write: (part: string) => (text += part), text: () => text }
}

it('what is waited for is said at once, with the time that passes: on one line of a terminal, on plain lines elsewhere', async () => {
  vi.useFakeTimers()
  try {
    const [terminal, pipe] = [sink(true), sink(false)]
    const done = Promise.all([terminal, pipe].map((one) => waiting('tsc: compiling', () => delay(65_000), one)))
    expect([terminal.text(), pipe.text()]).toEqual(['tsc: compiling …', 'tsc: compiling …\n'])
    await vi.advanceTimersByTimeAsync(65_000)
    await done
    expect(terminal.text()).toContain('\r\u001b[Ktsc: compiling: 7 s …')
    expect(terminal.text().endsWith('\r\u001b[Ktsc: compiling: 1 min 05 s, done\n')).toBe(true)
    expect(pipe.text().split('\n')).toEqual([
      'tsc: compiling …',
      'tsc: compiling: 30 s, still at it',
      'tsc: compiling: 1 min 00 s, still at it',
      'tsc: compiling: 1 min 05 s, done',
      '',
    ])
  } finally {
    vi.useRealTimers()
  }
})

it('a failure is said as one, and stays the failure', async () => {
  const pipe = sink(false)
  await expect(waiting('x', () => Promise.reject(new Error('no')), pipe)).rejects.toThrow('no')
  expect(pipe.text()).toMatch(/^x …\nx: 0 s, failed\n$/)
})

const ODD = ["it's mine", 'a b', 'ünï 日本', 'a$HOME', 'a"b', 'a\\b', 'a`id`b', 'a#b', 'a!b', "'", '"$`\\']

it.each(ODD)('settings with a path like %s are read alike by a shell, by Node and by us', async (name) => {
  await using dir = await tempDir()
  const values = { SEALFLEET_ROOTS: `samples=/srv/${name}/samples`, LAST: 'x' }
  const text = formatEnvironment(values)
  expect(Object.fromEntries(parseEnvFile(text).values)).toEqual(values)
  expect(parseEnv(text)).toEqual(values)
  await writeFile(path.join(dir.path, 'env'), text)
  const script = 'set -a; . ./env; printf "%s" "$SEALFLEET_ROOTS"'
  expect(execFileSync('sh', ['-c', script], { cwd: dir.path, encoding: 'utf8' })).toBe(values.SEALFLEET_ROOTS)
  expect(() => checkPath(`/srv/${name}`, 'x', { services: true })).not.toThrow()
})

it.each([
  ['/a\nb', 'line break'],
  ['/a\u2028b', 'line break'],
  ['/a,b', 'comma'],
  ['/a=b', 'SoftHSM'],
  [`/it's "x"`, 'apostrophe beside'],
  ["/it's $x", 'apostrophe beside'],
  ['/a /b', 'ends with a space'],
  ['/a/ b', 'begins or ends'],
])('a checkout in %j is refused before anything starts', (folder, why) => {
  expect(() => checkPath(folder, 'this checkout', { services: true })).toThrow(why)
})

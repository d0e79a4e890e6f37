import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { ConfigError } from '@sealfleet/config'
import { tempDir } from '@sealfleet/testkit'
import { expect, it } from 'vitest'
import { createSettings } from '../src/input/settings.js'

function warningsOf(cwd: string, env: Record<string, string>): string[] {
  const warnings: string[] = []
  const { stdin, stdout, stderr } = process
  const io = { stdin, stdout, stderr, env, user: 'tester', cwd, signal: new AbortController().signal }
  const settings = createSettings(io, undefined, (warning) => warnings.push(warning))
  expect(() => settings.load(['database'])).toThrow(ConfigError)
  return warnings
}

it('says that the folder’s env file was passed over, and for which variable, when settings are missing', async () => {
  await using dir = await tempDir()
  const folder = join(dir.path, 'below')
  await mkdir(folder)
  const file = join(dir.path, '.sealfleet', 'env')
  await mkdir(join(dir.path, '.sealfleet'))
  await writeFile(file, 'SEALFLEET_DATABASE_URL=nothing\n', { mode: 0o600 })
  expect(warningsOf(folder, { SEALFLEET_CHUNK: '1' })).toEqual([
    `${file} was not read, since the environment has SEALFLEET_CHUNK: --config ${file} reads both`,
  ])
})

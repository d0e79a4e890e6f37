import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

import { bundleFolder, bundlePrograms } from '../lib/bundle.mjs'

const run = promisify(execFile)

test('what was bundled from the present state is not bundled again', async () => {
  expect(await bundlePrograms()).toBe(false)
})

test.each(['worker', 'maintenance', 'ops'])('the bundled %s starts and describes itself', async (program) => {
  const { stdout } = await run(process.execPath, [join(bundleFolder, `${program}.mjs`), '--help'])
  expect(stdout).toContain(`node bundle/${program}.mjs`)
})

test('the bundled command line is the one that is built', async () => {
  const { stdout } = await run(process.execPath, [join(bundleFolder, 'sealfleet.mjs'), '--version'])
  const manifest = JSON.parse(await readFile(join(bundleFolder, '../apps/cli/package.json'), 'utf8')) as {
    version: string
  }
  expect(stdout.trim()).toBe(manifest.version)
})

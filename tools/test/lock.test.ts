import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { tempDir } from '@sealfleet/testkit'
import { expect, it } from 'vitest'
import { withLock } from '../lib/lock.mjs'

it('lets one in at a time', async () => {
  await using directory = await tempDir()
  let inside = 0
  let most = 0
  const work = async (): Promise<void> => {
    most = Math.max(most, ++inside)
    await new Promise((resolve) => setImmediate(resolve))
    inside--
  }
  await Promise.all(Array.from({ length: 8 }, () => withLock(directory.path, work)))
  expect(most).toBe(1)
})

it('is free again after work that failed', async () => {
  await using directory = await tempDir()
  const failure = withLock(directory.path, () => Promise.reject(new Error('broken')))
  await expect(failure).rejects.toThrow('broken')
  expect(await withLock(directory.path, () => Promise.resolve('in'))).toBe('in')
})

it('is free again when its holder was killed, and says once that it waits', async () => {
  await using directory = await tempDir()
  const lock = fileURLToPath(new URL('../lib/lock.mjs', import.meta.url))
  const program = `import { withLock } from ${JSON.stringify(lock)}
    await withLock(${JSON.stringify(directory.path)}, () => new Promise(() => { console.log('in'); setInterval(() => 0, 1e6) }))`
  const holder = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  let waits = 0
  const entered = withLock(directory.path, () => Promise.resolve('in'), {
    onWait: () => {
      waits++
      holder.kill('SIGKILL')
    },
  })
  expect(await entered).toBe('in')
  expect(waits).toBe(1)
})

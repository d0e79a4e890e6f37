import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tempDir } from '@sealfleet/testkit'
import { afterEach, expect, it, vi } from 'vitest'
import { startS3rver, stopS3rver } from '../lib/s3rver.mjs'

/** A disk on which every write of a body takes its time. */
const SLOW_DISK = `
  const fs = require('fs')
  const { write, writev } = fs
  const slow = (call) => function (fd, data, ...rest) {
    const late = Buffer.concat([data].flat().map((part) => Buffer.from(part))).includes('body')
    setTimeout(() => call(fd, data, ...rest), late ? 300 : 0)
  }
  fs.write = slow(write)
  fs.writev = slow(writev)`

afterEach(() => {
  vi.unstubAllEnvs()
})

it('s3rver: what a PUT was answered for can be read at once, whole, however slow the disk; before that, the older object or it', async () => {
  await using dir = await tempDir()
  const shim = join(dir.path, 'slow-disk.cjs')
  await writeFile(shim, SLOW_DISK)
  vi.stubEnv('NODE_OPTIONS', `--require ${shim}`)
  const { endpoint } = await startS3rver({ dir: dir.path })
  const url = `${endpoint}/bucket/folder/key`
  const put = async (body: string) => {
    expect((await fetch(url, { method: 'PUT', body })).status).toBe(200)
  }
  const get = async () => await (await fetch(url)).text()
  try {
    expect((await fetch(`${endpoint}/bucket`, { method: 'PUT' })).status).toBe(200)
    await put('body 1')
    expect(await get()).toBe('body 1')
    const second = put('body 2')
    expect(['body 1', 'body 2']).toContain(await get())
    await second
    expect(await get()).toBe('body 2')
  } finally {
    await stopS3rver({ dir: dir.path })
  }
})

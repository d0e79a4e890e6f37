import { tempDir } from '@sealfleet/testkit'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { OutputFile, removeUnfinished } from '../src/files/output-file.js'
import { partName } from '../src/files/part-files.js'
import { openOutputFolder, placeBelow } from '../src/files/safe-path.js'

/** Output folders that another user changes while files are written into them: nothing goes anywhere else. */

async function world() {
  const dir = await tempDir()
  const at = (...parts: string[]): string => path.join(dir.path, ...parts)
  await mkdir(at('out', 'sub'), { recursive: true })
  await mkdir(at('elsewhere'))
  const output = await openOutputFolder(at('out'))
  return {
    at,
    output,
    async [Symbol.asyncDispose]() {
      await output[Symbol.asyncDispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}

/** Everything below a folder, links not followed. */
const below = async (folder: string): Promise<readonly string[]> => (await readdir(folder, { recursive: true })).sort()

describe('while a file is written below an output folder', () => {
  it.each([false, true])('a sub-folder swapped for a link leads nothing out; force: %s', async (force) => {
    await using w = await world()
    {
      await using place = await placeBelow(w.output, 'sub/a')
      await using file = await OutputFile.createIn(place.folder, place.name, { force })
      await rename(w.at('out', 'sub'), w.at('out', 'kept'))
      await symlink(w.at('elsewhere'), w.at('out', 'sub'))
      await file.write(Buffer.from('secret'))
      await expect(file.commit()).rejects.toMatchObject({ code: 'OUTPUT_UNSAFE', exitStatus: 1 })
    }
    expect(await below(w.at('elsewhere'))).toEqual([])
    expect(await below(w.at('out'))).toEqual(['kept', 'sub'])
  })

  it('a sub-folder moved out of it takes nothing along', async () => {
    await using w = await world()
    {
      await using place = await placeBelow(w.output, 'sub/deep/a')
      await using file = await OutputFile.createIn(place.folder, place.name, { force: false })
      await file.write(Buffer.from('secret'))
      await rename(w.at('out', 'sub'), w.at('elsewhere', 'sub'))
      await expect(file.commit()).rejects.toMatchObject({ code: 'OUTPUT_UNSAFE' })
    }
    expect(await below(w.at('elsewhere'))).toEqual(['sub', 'sub/deep'])
  })

  it('an unfinished file that is moved or linked away keeps no byte of it, at an error and at a second signal', async () => {
    await using w = await world()
    for (const end of ['error', 'signal'] as const) {
      await using place = await placeBelow(w.output, 'sub/a')
      await using file = await OutputFile.createIn(place.folder, place.name, { force: false })
      await file.write(Buffer.from('secret'))
      const [part = ''] = await readdir(w.at('out', 'sub'))
      await rename(w.at('out', 'sub', part), w.at('elsewhere', end))
      if (end === 'signal') removeUnfinished()
      else await file[Symbol.asyncDispose]()
      expect(await readFile(w.at('elsewhere', end), 'utf8')).toBe('')
    }
    expect(await below(w.at('out'))).toEqual(['sub'])
  })

  it('a temporary file that is replaced is not given out as the one that was written', async () => {
    await using w = await world()
    await using file = await OutputFile.createIn(w.output, 'a', { force: true })
    await file.write(Buffer.from('right'))
    const part = (await readdir(w.at('out'))).find((name) => name.endsWith('.part')) ?? ''
    await unlink(w.at('out', part))
    await writeFile(w.at('out', part), 'wrong')
    await expect(file.commit()).rejects.toMatchObject({ code: 'OUTPUT_UNSAFE' })
  })

  it('the folder that the user named, swapped itself, is found as well', async () => {
    await using w = await world()
    await using file = await OutputFile.create(w.at('out', 'a'), { force: false })
    await rename(w.at('out'), w.at('moved'))
    await mkdir(w.at('out'))
    await file.write(Buffer.from('secret'))
    await expect(file.commit()).rejects.toMatchObject({ code: 'OUTPUT_UNSAFE' })
    await file[Symbol.asyncDispose]()
    expect([await below(w.at('out')), await below(w.at('moved'))]).toEqual([[], ['sub']])
  })

  it('an attacker who swaps without end gets nothing out of it, and nothing half', { timeout: 30_000 }, async () => {
    await using w = await world()
    const attack = `
      const fs = require('node:fs')
      const [sub, kept, to] = process.argv.slice(1)
      const quietly = (deed) => { try { deed() } catch {} }
      process.stdout.write('ready')
      for (;;) {
        quietly(() => fs.renameSync(sub, kept)); quietly(() => fs.symlinkSync(to, sub))
        quietly(() => fs.unlinkSync(sub)); quietly(() => fs.renameSync(kept, sub))
      }`
    const paths = [w.at('out', 'sub'), w.at('out', 'kept'), w.at('elsewhere')]
    const attacker = spawn(process.execPath, ['-e', attack, ...paths], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(attacker.stdout, 'data')
    const ended = new Map<string, number>()
    const until = performance.now() + 1_500
    for (let n = 0; performance.now() < until; n++) {
      const how = await restoreLike(w.output, `sub/in/${n}`).catch((error: { code?: string }) => error.code ?? 'bug')
      ended.set(how, (ended.get(how) ?? 0) + 1)
    }
    attacker.kill('SIGKILL')
    await once(attacker, 'close')
    expect(await below(w.at('elsewhere'))).toEqual([])
    expect((await below(w.at('out'))).filter((name) => name.endsWith('.part'))).toEqual([])
    expect([...ended.keys()].filter((how) => !['whole', 'OUTPUT_UNSAFE'].includes(how))).toEqual([])
    expect(ended.get('OUTPUT_UNSAFE')).toBeGreaterThan(0)
  })
})

async function restoreLike(output: Parameters<typeof placeBelow>[0], relative: string): Promise<string> {
  await using place = await placeBelow(output, relative)
  await using file = await OutputFile.createIn(place.folder, place.name, { force: false })
  await file.write(Buffer.from('secret'))
  await file.commit()
  return 'whole'
}

describe('what a killed process left', () => {
  const own = partName()
  const begun = (name: string, pid: number, start: string): string => name.replace(/-\d+-\d+\./, `-${pid}-${start}.`)

  it('is removed by the next one in that folder; what a running one, another machine or another program has stays', async () => {
    await using dir = await tempDir()
    const gone = spawn(process.execPath, ['-e', ''])
    await once(gone, 'close')
    const stale = [begun(own, gone.pid ?? 0, '1'), begun(own, process.pid, '1')]
    const foreign = [own, own.replace(/-[0-9a-f]{8}-/, '-00000000-'), '.a.part', own.replace('.part', '')]
    for (const name of [...stale, ...foreign]) await writeFile(path.join(dir.path, name), 'half')
    await using file = await OutputFile.create(path.join(dir.path, 'a'), { force: false })
    await file.commit()
    expect(await below(dir.path)).toEqual([...foreign, 'a'].sort())
    await rm(path.join(dir.path, own))
  })
})

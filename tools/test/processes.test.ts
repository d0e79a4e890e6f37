import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { tempDir } from '@sealfleet/testkit'
import { afterEach, describe, expect, it } from 'vitest'
import { endProcess, findLost, identify, isRunning, type ProcessIdentity } from '../lib/processes.mjs'

const started: ChildProcess[] = []

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
})

/** A process that says `ready` and then waits; with `stubborn` it ignores SIGTERM. */
async function sleeper({ cwd, stubborn = false }: { cwd?: string; stubborn?: boolean } = {}): Promise<ProcessIdentity> {
  const program = `${stubborn ? "process.on('SIGTERM', () => 0);" : ''} setInterval(() => 0, 1e6); console.log('ready')`
  const child = spawn(process.execPath, ['-e', program], { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  started.push(child)
  await once(child.stdout, 'data')
  const identity = identify(child.pid ?? 0)
  if (!identity) throw new Error('no identity')
  return identity
}

describe('a process that outlives its starter', () => {
  it('runs until it is ended', async () => {
    const identity = await sleeper()
    expect(isRunning(identity)).toBe(true)
    await endProcess(identity)
    expect(isRunning(identity)).toBe(false)
    await endProcess(identity) // a second time is no error
  })

  it('is not mistaken for a later one with the same pid', async () => {
    const identity = await sleeper()
    const earlier = { ...identity, startTime: '1' }
    const otherBoot = { ...identity, bootId: 'before the reboot' }
    expect([isRunning(earlier), isRunning(otherBoot)]).toEqual([false, false])
    await endProcess(earlier)
    await endProcess(otherBoot)
    expect(isRunning(identity)).toBe(true)
  })

  it('is killed when it does not listen', async () => {
    const identity = await sleeper({ stubborn: true })
    await endProcess(identity, 'SIGTERM', 100)
    expect(isRunning(identity)).toBe(false)
  })

  it('still runs while any of its threads does, though the first has ended: it has its files and ports until then', async () => {
    await using here = await tempDir()
    const [source, program] = [join(here.path, 'threads.c'), join(here.path, 'threads')]
    const code = `#include <pthread.h>
      #include <unistd.h>
      static void *stay(void *unused) { pause(); return unused; }
      int main(void) { pthread_t t; pthread_create(&t, 0, stay, 0); pthread_exit(0); }`
    await writeFile(source, code)
    await promisify(execFile)('gcc', ['-pthread', '-o', program, source])
    const child = spawn(program)
    started.push(child)
    await once(child, 'spawn')
    const { pid = 0 } = child
    while (!(await readFile(`/proc/${pid}/stat`, 'utf8')).includes(') Z ')) await delay(5)
    const identity = identify(pid)
    expect(identity).toMatchObject({ pid })
    if (identity) await endProcess(identity)
    expect(identify(pid)).toBeUndefined()
  })

  it('is found by its working directory and program when its record was lost', async () => {
    await using here = await tempDir()
    await using elsewhere = await tempDir()
    const identity = await sleeper({ cwd: here.path })
    expect(findLost(here.path, 'node')).toEqual([identity])
    expect(findLost(here.path, 'redis-server')).toEqual([])
    expect(findLost(elsewhere.path, 'node')).toEqual([])
    expect(findLost(join(here.path, 'below'), 'node')).toEqual([])
  })
})

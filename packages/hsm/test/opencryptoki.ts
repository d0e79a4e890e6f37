import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import type { TokenOptions } from '../src/options.js'

const execute = promisify(execFile)

const MODULE = '/usr/lib/x86_64-linux-gnu/opencryptoki/libopencryptoki.so.0'
const DAEMON = '/usr/sbin/pkcsslotd'
const INIT = fileURLToPath(new URL('opencryptoki-init.mjs', import.meta.url))
const LOCK = '/run/lock/sealfleet-test-opencryptoki'
const LABEL = 'sealfleet-test'
const PIN = '24681357'

export interface SecondToken extends AsyncDisposable {
  readonly options: TokenOptions
}

/** Why opencryptoki can't be tried on this machine; undefined when it can. */
export function opencryptokiAbsent(): string | undefined {
  if (!existsSync(MODULE) || !existsSync(DAEMON)) return 'opencryptoki is not installed'
  return process.getuid?.() === 0 ? undefined : 'its daemon wants root'
}

/**
 * The software token of opencryptoki: one a machine, with one daemon, which is started if it does not run and then stopped
 * again. Refuses a token that is someone else's.
 */
export async function opencryptokiToken(): Promise<SecondToken> {
  const dir = await mkdtemp(join(tmpdir(), 'sealfleet-test-'))
  const path = join(dir, 'pin')
  await writeFile(path, PIN, { mode: 0o600 })
  const before = await daemonPid()
  if (before === undefined) await execute(DAEMON)
  // The daemon is ready when the token shows; two test runs at once must not both initialise it.
  const deadline = Date.now() + 20_000
  for (;;) {
    try {
      await execute('flock', [LOCK, process.execPath, INIT, MODULE, LABEL, PIN])
      break
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  return {
    options: { module: MODULE, token: LABEL, pin: { kind: 'file', path } },
    async [Symbol.asyncDispose]() {
      await rm(dir, { recursive: true })
      const pid = before === undefined ? await daemonPid() : undefined
      if (pid !== undefined) process.kill(pid, 'SIGTERM')
    },
  }
}

async function daemonPid(): Promise<number | undefined> {
  try {
    const pid = Number(await readFile('/run/pkcsslotd.pid', 'utf8'))
    return (await readFile(`/proc/${pid}/comm`, 'utf8')).trim() === 'pkcsslotd' ? pid : undefined
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

const PROGRAMS = path.resolve(import.meta.dirname, '../../../../bundle')
const READY = { worker: '"taking jobs"', maintenance: '"maintenance started"' } as const

export interface Running extends AsyncDisposable {
  /** What it has logged so far. */
  readonly log: () => string
}

/** Starts a built program of the fleet; resolves when it works. Disposing of it drains it. */
export async function startProgram(
  program: keyof typeof READY,
  env: Readonly<Record<string, string>>,
  cwd: string,
): Promise<Running> {
  const child = spawn(process.execPath, [path.join(PROGRAMS, `${program}.mjs`)], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  let log = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      if (log.includes(READY[program])) resolve()
    })
    void closed.then(() => reject(new Error(`${program} ended: ${log}`)))
  })
  return {
    log: () => log,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await closed
    },
  }
}

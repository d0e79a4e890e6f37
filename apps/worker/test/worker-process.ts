import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const PROGRAMS = {
  worker: fileURLToPath(new URL('../../../bundle/worker.mjs', import.meta.url)),
  maintenance: fileURLToPath(new URL('../../../bundle/maintenance.mjs', import.meta.url)),
}

export interface Line {
  readonly msg: string
  readonly level: number
  readonly code?: string
  readonly breaker?: string
  readonly dependency?: string
  readonly err?: { readonly code: string; readonly message: string }
}

/** A worker's process, or one of maintenance; its log lines as they come. */
export class WorkerProcess implements AsyncDisposable {
  readonly child: ChildProcess
  readonly lines: Line[] = []
  readonly stderr: Buffer[] = []
  readonly exit: Promise<number | null>
  #heard = (): void => undefined

  constructor(env: NodeJS.ProcessEnv, program: keyof typeof PROGRAMS = 'worker') {
    this.child = spawn(process.execPath, [PROGRAMS[program]], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stderr?.on('data', (chunk: Buffer) => this.stderr.push(chunk))
    this.exit = once(this.child, 'close').then(([code]) => code as number | null)
    if (this.child.stdout === null) throw new Error('no standard output')
    createInterface(this.child.stdout).on('line', (line) => {
      this.lines.push(JSON.parse(line) as Line)
      this.#heard()
    })
  }

  async saying(message: string): Promise<void> {
    while (!this.lines.some(({ msg }) => msg === message)) {
      await Promise.race([
        new Promise<void>((resolve) => (this.#heard = resolve)),
        this.exit.then((code) => Promise.reject(new Error(`exited with ${code}: ${this.errors}`))),
      ])
    }
  }

  /** Ends it, if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exit
  }

  get errors(): string {
    return Buffer.concat(this.stderr).toString()
  }
}

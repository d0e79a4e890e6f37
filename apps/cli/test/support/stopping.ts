import type { ChildProcess } from 'node:child_process'
import pg from 'pg'
import { until } from './life.js'
import { finished, type Ran } from './world.js'

/** A command that runs, to be stopped at a moment that someone else can see. */
export class Stoppable {
  readonly ended: Promise<Ran>
  readonly #child: ChildProcess
  #stderr = ''

  constructor(child: ChildProcess) {
    this.#child = child
    child.stderr?.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()))
    this.ended = finished(child)
  }

  /** Until it has said so on standard error. */
  async says(text: string | RegExp): Promise<void> {
    const said = (): boolean => (typeof text === 'string' ? this.#stderr.includes(text) : text.test(this.#stderr))
    await until(
      () => Promise.resolve(said() || this.#over),
      () => `it said: ${this.#stderr}`,
    )
    if (!said()) throw new Error(`it ended, and said: ${this.#stderr}`)
  }

  /** Sends one, once. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends one to a command that cannot stop yet; resolves when it has said that it will. */
  async stopLater(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal)
    await this.says('the same signal again stops at once')
  }

  get #over(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }
}

/** A table that no one else can write to (or, `ACCESS EXCLUSIVE`, read) until it is released. */
export class HeldTable implements AsyncDisposable {
  readonly #client: pg.Client
  readonly #url: string

  private constructor(client: pg.Client, url: string) {
    this.#client = client
    this.#url = url
  }

  static async hold(
    url: string,
    table: string,
    mode: 'EXCLUSIVE' | 'ACCESS EXCLUSIVE' = 'EXCLUSIVE',
  ): Promise<HeldTable> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query('BEGIN')
    await client.query(`LOCK TABLE ${table} IN ${mode} MODE`)
    return new HeldTable(client, url)
  }

  /** Until a statement that holds this text waits for a lock. */
  async awaited(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.#url })
    await client.connect()
    const waits = async (): Promise<boolean> => {
      const { rows } = await client.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
           AND pid <> pg_backend_pid() AND position($1 IN query) > 0`,
        [text],
      )
      return rows.length > 0
    }
    try {
      await until(waits, () => `nobody waits with ${text}`)
    } finally {
      await client.end()
    }
  }

  async release(): Promise<void> {
    await this.#client.query('ROLLBACK')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end()
  }
}

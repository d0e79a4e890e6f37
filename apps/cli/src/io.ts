import type { Readable, Writable } from 'node:stream'

/** A stream that may be a terminal. `process.stdout` is one; tests hand in their own. */
export type Terminal = Writable & { readonly isTTY?: boolean; readonly columns?: number }

/** Everything that a command sees of its process. Only `main.ts` creates one from the real process. */
export interface Io {
  readonly stdin: Readable
  readonly stdout: Terminal
  readonly stderr: Terminal
  readonly env: NodeJS.ProcessEnv
  /** who runs the command, for the records: the operating system's user name, which proves nothing */
  readonly user: string
  /** absolute path that relative arguments start from */
  readonly cwd: string
  /** aborted on SIGINT or SIGTERM */
  readonly signal: AbortSignal
}

/** True when `stream` is a terminal whose owner wants colour (https://no-color.org). */
export function wantsColour(stream: Terminal, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
}

/** Writes `text` and resolves when the stream has taken it, so that a slow reader is waited for. Throws on EPIPE. */
export function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (error) reject(error)
      else resolve()
    })
  })
}

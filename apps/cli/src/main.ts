import { userInfo } from 'node:os'
import { compileOnce } from '@sealfleet/runtime/compile-once'
import { handleSignals } from '@sealfleet/runtime/signals'
import { Interrupted } from './abort.js'
import { CliError } from './cli-error.js'
import { EXIT } from './exit-status.js'
import { errnoOf, hasCode } from './files/errno.js'
import { removeUnfinished } from './files/output-file.js'
import { run } from './program.js'

/** The composition root: the only place that reads the process's environment, arguments, streams and signals. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** A command that has not stopped after this, milliseconds, reports that it is stopping. */
const PATIENCE_MS = 1_000
const STOPPING = 'stopping: work in progress finishes first; the same signal again stops at once\n'

const abort = new AbortController()
let received: NodeJS.Signals | undefined

function onFirst(signal: NodeJS.Signals): void {
  received = signal
  abort.abort(new Interrupted(signal))
  // Work that must not be interrupted (a key that the HSM is creating, a transaction) finishes first; this reports it.
  setTimeout(() => process.stderr.write(STOPPING), PATIENCE_MS).unref()
}

/** Ends the process by the signal itself, so that a shell sees what happened; no temporary file stays behind. */
function die(signal: NodeJS.Signals): void {
  removeUnfinished()
  // Progress bars hide the cursor.
  if (process.stderr.isTTY) process.stderr.write('\u001b[?25h')
  release()
  process.kill(process.pid, signal)
}

/** A user without an entry in the system's list (a container's) is named by its number. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

/** A failed write to standard output must not look like success. */
function unwritable(error: Error): CliError {
  return new CliError('OUTPUT_IO', `standard output cannot be written to (${errnoOf(error) ?? error.name})`, {
    exitStatus: EXIT.failed,
    fix: 'make room where it goes, or send it elsewhere',
    cause: error,
  })
}

const release = handleSignals(process, { signals: SIGNALS, onFirst, onSecond: die })
// A closed reader is noticed at the write (EPIPE); the event alone must not end the process.
process.stdout.on('error', (error: Error) =>
  abort.abort(hasCode(error, 'EPIPE') ? new Interrupted('SIGPIPE') : unwritable(error)),
)

compileOnce()
process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  user: userName(),
  cwd: process.cwd(),
  signal: abort.signal,
})
// A signal after the work was done changes nothing: running the command again would do it twice.
if (received !== undefined && process.exitCode !== EXIT.done) die(received)

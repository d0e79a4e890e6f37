import { dedicatedCopy } from '@sealfleet/format'
import { Interrupted } from '../abort.js'
import { CliError, usageError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { write, type Io } from '../io.js'

/** Longer answers are a file that was pasted by mistake. */
const LONGEST = 1_024

interface RawInput {
  readonly isTTY?: boolean
  setRawMode?(on: boolean): unknown
}

/** Whether somebody sits there and can be asked. */
export function canAsk(io: Io): boolean {
  const input = io.stdin as RawInput
  return input.isTTY === true && input.setRawMode !== undefined
}

/** Asks and returns when the answer is `yes`, in full. @throws CliError CANCELLED (status 1) for any other, USAGE without a terminal */
export async function askYes(io: Io, question: string): Promise<void> {
  if (!canAsk(io)) throw usageError('there is no terminal to ask on', 'read what is printed, then add --yes')
  const answer = await readLine(io, `${question} Type yes to go on: `, true)
  if (answer.toString() === 'yes') return
  throw new CliError('CANCELLED', 'the answer was not yes: nothing was done', { exitStatus: EXIT.failed })
}

/** What was typed, without showing it; the caller wipes it. @throws CliError USAGE without a terminal */
export async function askSecret(io: Io, question: string): Promise<Buffer> {
  if (!canAsk(io)) throw usageError('there is no terminal to ask for a passphrase on', 'use --passphrase-file FILE')
  return readLine(io, question, false)
}

/**
 * One line from the terminal in raw mode, so that nothing is shown that must not be. The mode is put back on every path;
 * Ctrl-C and Ctrl-D end the command, a signal too.
 */
function readLine(io: Io, question: string, shown: boolean): Promise<Buffer> {
  const input = io.stdin as typeof io.stdin & RawInput
  return new Promise<Buffer>((resolve, reject) => {
    const line = Buffer.alloc(LONGEST)
    let length = 0
    const end = (error?: Error): void => {
      input.off('data', onData)
      input.off('end', onEnd)
      io.signal.removeEventListener('abort', onAbort)
      input.setRawMode?.(false)
      input.pause()
      // Outside of V8's heap, where a short array would be copied and never wiped; the line itself is wiped.
      const typed = dedicatedCopy(line.subarray(0, length))
      line.fill(0)
      write(io.stderr, '\n').then(() => (error === undefined ? resolve(typed) : reject(error)), reject)
    }
    const onAbort = (): void => end(io.signal.reason as Error)
    const onEnd = (): void => end(new Interrupted('SIGHUP'))
    const onData = (chunk: Buffer | string): void => {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      for (const [at, byte] of bytes.entries()) {
        bytes[at] = 0
        if (byte === 3 || byte === 4) return end(new Interrupted('SIGINT'))
        if (byte === 13 || byte === 10) return end()
        if (byte === 127 || byte === 8) length = Math.max(0, length - 1)
        else if (length < LONGEST) line[length++] = byte
        if (shown) io.stderr.write(Buffer.of(byte))
      }
    }
    input.on('data', onData)
    input.on('end', onEnd)
    io.signal.addEventListener('abort', onAbort)
    if (io.signal.aborted) return onAbort()
    input.setRawMode?.(true)
    input.resume()
    io.stderr.write(question)
  })
}

import { dedicatedCopy } from '@sealfleet/format'
import { Interrupted } from '../../abort.js'
import { CliError, usageError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import { write, type Io } from '../../io.js'

/** A longer answer is a file pasted by mistake. */
const LONGEST = 1_024

interface RawInput {
  readonly isTTY?: boolean
  setRawMode?(on: boolean): unknown
}

/** Whether a person at a terminal can be asked. */
export function hasTerminal(io: Io): boolean {
  const input = io.stdin as RawInput
  return input.isTTY === true && input.setRawMode !== undefined
}

/** Terminals whose echo is off for a whole verb. */
const quiet = new WeakSet<object>()

/**
 * Turns the terminal's echo off until disposed. Otherwise the terminal itself would show what is typed or pasted before
 * a prompt, or between two. Does nothing without a terminal.
 */
export function quietTerminal(io: Io): Disposable {
  const input = io.stdin as typeof io.stdin & RawInput
  if (!hasTerminal(io)) return { [Symbol.dispose]() {} }
  quiet.add(input)
  input.setRawMode?.(true)
  return {
    [Symbol.dispose]() {
      quiet.delete(input)
      input.setRawMode?.(false)
    },
  }
}

/** Asks and returns when the answer is `yes`, in full. @throws CliError CANCELLED (status 1) for any other, USAGE without a terminal */
export async function askYes(io: Io, question: string): Promise<void> {
  if (!hasTerminal(io)) throw usageError('there is no terminal to ask on', 'read what is printed, then add --yes')
  const answer = await readLine(io, `${question} Type yes to continue: `, true)
  if (answer.toString() === 'yes') return
  throw new CliError('CANCELLED', 'the answer was not yes: nothing was done', { exitStatus: EXIT.failed })
}

/** What was typed, without showing it; the caller wipes it. @throws CliError USAGE without a terminal */
export async function askSecret(io: Io, question: string): Promise<Buffer> {
  if (!hasTerminal(io))
    throw usageError('there is no terminal to ask for a passphrase on', 'use --passphrase-file FILE')
  return readLine(io, question, false)
}

/**
 * Reads one line from the terminal in raw mode, so that it is not echoed. The mode is restored on every path. Text
 * pasted beyond the line stays for the next one. Ctrl-C, Ctrl-D or a signal ends the command.
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
      if (!quiet.has(input)) input.setRawMode?.(false)
      input.pause()
      // Outside of V8's heap, where a short array would be copied and never wiped. The line itself is wiped.
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
        if (byte === 13 || byte === 10) {
          const rest = bytes.subarray(byte === 13 && bytes[at + 1] === 10 ? at + 2 : at + 1)
          end()
          if (rest.length > 0) input.unshift(rest)
          return
        }
        if (byte === 127 || byte === 8) {
          if (shown && length > 0) io.stderr.write('\b \b')
          length = Math.max(0, length - 1)
        } else if (length < LONGEST) {
          line[length++] = byte
          // Pasted text must not control the terminal.
          if (shown) io.stderr.write(byte >= 0x20 && byte < 0x7f ? Buffer.of(byte) : '?')
        }
      }
    }
    input.on('data', onData)
    input.on('end', onEnd)
    io.signal.addEventListener('abort', onAbort)
    if (io.signal.aborted) return onAbort()
    if (!quiet.has(input)) input.setRawMode?.(true)
    input.resume()
    io.stderr.write(question)
  })
}

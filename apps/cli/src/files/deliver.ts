import type { ReadOptions } from '@sealfleet/format'
import { once } from 'node:events'
import path from 'node:path'
import { usageError } from '../cli-error.js'
import type { CommandContext } from '../context.js'
import { OutputFile } from './output-file.js'
import { writePlaintext } from './write-plaintext.js'

/** Where a file's bytes go: `-` is standard output. */
export interface Destination {
  readonly output: string | undefined
  readonly force: boolean
}

/** What was written, for the report. */
export interface Delivered {
  /** absolute path; undefined for standard output */
  readonly path: string | undefined
  readonly bytes: number
}

/**
 * Refuses a destination before any work is done: without `-o` the bytes go to standard output, but never to a terminal
 * unless `-o -` says so.
 */
export function checkDestination(context: CommandContext, { output }: Destination): void {
  if (output === '') throw usageError('-o needs a path, or - for standard output')
  if (output === undefined && context.io.stdout.isTTY === true) {
    throw usageError('the file would be printed on the terminal', 'name a file with -o PATH, or confirm with -o -')
  }
  if (output === undefined || output === '-') context.print.yieldStdout()
}

/** Refuses what `deliver` would refuse about the destination; nothing is left there. For dry runs. */
export async function rehearseDelivery({ io }: CommandContext, { output, force }: Destination): Promise<void> {
  if (output === undefined || output === '-') return
  await using file = await OutputFile.create(path.resolve(io.cwd, output), { force })
  void file
}

/** Bars would be mixed into a file that is printed on the same terminal. */
export function wantsNoProgress(context: CommandContext, { output }: Destination): boolean {
  return context.print.json || ((output === undefined || output === '-') && context.io.stdout.isTTY === true)
}

/**
 * Writes `bytes` to the destination. A file appears under its name only after the last byte; standard output gets each
 * buffer once it is authenticated, so its reader must look at the exit status before it trusts the whole.
 */
export async function deliver(
  context: CommandContext,
  destination: Destination,
  bytes: (options: ReadOptions) => AsyncIterable<Buffer>,
  onBytes: (done: number) => void = () => undefined,
): Promise<Delivered> {
  const { signal } = context
  const { output, force } = destination
  if (output === undefined || output === '-') return toStdout(context, bytes, onBytes)
  const final = path.resolve(context.io.cwd, output)
  await using file = await OutputFile.create(final, { force })
  const done = await writePlaintext(file, (allocate) => bytes({ signal, allocate }), onBytes)
  signal.throwIfAborted()
  await file.commit()
  return { path: final, bytes: done }
}

async function toStdout(
  context: CommandContext,
  bytes: (options: ReadOptions) => AsyncIterable<Buffer>,
  onBytes: (done: number) => void,
): Promise<Delivered> {
  const { stdout } = context.io
  let failure: Error | undefined
  const onError = (error: Error): void => void (failure = error)
  stdout.on('error', onError)
  try {
    let done = 0
    for await (const buffer of bytes({ signal: context.signal })) {
      if (!stdout.write(buffer)) await once(stdout, 'drain', { signal: context.signal })
      if (failure) throw failure
      done += buffer.length
      onBytes(done)
    }
    return { path: undefined, bytes: done }
  } finally {
    stdout.off('error', onError)
  }
}

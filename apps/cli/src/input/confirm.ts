import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { CliError, usageError } from '../cli-error.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-status.js'
import { write, type Io } from '../io.js'

/**
 * Asks the user to type `word` before an irreversible action, whose effect was shown before. Resolves when they typed
 * it.
 * @throws USAGE without a terminal or with --json, CANCELLED for any other answer; the signal's reason
 */
export async function confirm(context: CommandContext, word: string): Promise<void> {
  const { io, signal } = context
  if (!canAsk(context)) throw usageError('this cannot be undone, and there is no terminal to confirm on', 'use --yes')
  signal.throwIfAborted()
  await write(io.stderr, `This cannot be undone. Type "${word}" to continue: `)
  if ((await typedLine(io.stdin, signal)).trim() === word) return
  throw new CliError('CANCELLED', 'the answer did not match: nothing was changed', { exitStatus: EXIT.failed })
}

/** The next line; empty when the input ends before one. */
async function typedLine(stdin: Io['stdin'], signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: stdin })
  let typed = ''
  lines.once('line', (line) => {
    typed = line
    lines.close()
  })
  try {
    await once(lines, 'close', { signal })
    return typed
  } finally {
    lines.close()
  }
}

/** Whether a person at a terminal can be asked. */
export function canAsk({ io: { stdin }, print }: Pick<CommandContext, 'io' | 'print'>): boolean {
  return !print.json && 'isTTY' in stdin && stdin.isTTY === true
}

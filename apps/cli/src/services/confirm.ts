import { createInterface } from 'node:readline/promises'
import { CliError, usageError } from '../cli-error.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-status.js'
import { write, type Io } from '../io.js'

/**
 * Lets a person type what is to happen before it does. Resolves when they typed `word`; what is at stake has been said before.
 * @throws USAGE when nobody can be asked (no terminal, or --json), CANCELLED when they typed something else
 */
export async function confirm(context: CommandContext, word: string): Promise<void> {
  const { io, print, signal } = context
  if (print.json || !isTerminal(io.stdin))
    throw usageError('this can not be taken back: nobody is there to confirm it', '--yes')
  await write(io.stderr, `This can not be taken back. Type "${word}" to go on: `)
  const lines = createInterface({ input: io.stdin })
  try {
    const typed = await lines.question('', { signal })
    if (typed.trim() === word) return
  } finally {
    lines.close()
  }
  throw new CliError('CANCELLED', 'that was something else: nothing was changed', { exitStatus: EXIT.failed })
}

function isTerminal(stdin: Io['stdin']): boolean {
  return 'isTTY' in stdin && stdin.isTTY === true
}

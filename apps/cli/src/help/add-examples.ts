import type { Command } from 'commander'
import { EXAMPLES } from './examples.js'

/** The words that name a command, without the program: `keys rotate`. */
export function verbPath(command: Command): string {
  const above = command.parent
  return above?.parent ? `${verbPath(above)} ${command.name()}` : command.name()
}

/** Adds the examples of each command to the end of its help. */
export function addExamples(command: Command): void {
  for (const verb of command.commands) {
    const examples = EXAMPLES[verbPath(verb)]
    if (examples !== undefined)
      verb.addHelpText('after', `\nExamples:\n${examples.map((one) => `  ${one}`).join('\n')}`)
    addExamples(verb)
  }
}

import { Command, CommanderError, Help } from 'commander'
import { COMMANDS, type CommandEntry } from './commands/table.js'
import { EXIT, type ExitStatus } from './exit-status.js'
import { addExamples } from './help/add-examples.js'
import { renamedVerb } from './help/renamed.js'
import { write, type Io } from './io.js'
import { createPrinter, type Printer } from './output/printer.js'
import type { Runner } from './verb.js'

const AFTER = `
Every command has --help with examples and --json; those that change something have --dry-run, and leave a row in the audit log.
Settings are SEALFLEET_… variables, or lines of a file given by --config; without either, .sealfleet/env of this
folder or one above. Exit status: 0 done; 1 failed; 2 usage; 3 an E_ code; 4 no such file or object; 5 key unknown or
destroyed; 6 a dependency is out of reach.`

/**
 * Runs one command line (without `node` and the script) and resolves to its exit status. Never throws for what a user
 * can do wrong.
 */
export async function run(args: readonly string[], io: Io): Promise<ExitStatus> {
  let status: ExitStatus = EXIT.done
  const renamed = renamedVerb(args)
  if (renamed !== undefined) {
    const report = { code: 'USAGE', message: renamed, exitStatus: EXIT.usage }
    const { reportError } = await reporting()
    await reportError(io, createPrinter(io, args.includes('--json')), report)
    return EXIT.usage
  }
  let help = ''
  try {
    const runner: Runner = { io, end: (ended) => (status = ended) }
    const program = await createProgram(runner, { chosen: chosenCommand(args), onError: (text) => (help += text) })
    await program.parseAsync([...args], { from: 'user' })
    return status
  } catch (error) {
    const print = createPrinter(io, args.includes('--json'))
    if (error instanceof CommanderError) return usage(error, io, print, help)
    const { describeError, reportError } = await reporting()
    const report = describeError(error)
    await reportError(io, print, report)
    return report.exitStatus
  }
}

/** The first word that is no option, or the word after `help`: the name of the command, unless it is misspelt. */
function chosenCommand(args: readonly string[]): string {
  const [first = '', second = ''] = args.filter((arg) => !arg.startsWith('-'))
  return first === 'help' ? second : first
}

/** Reporting of errors knows the errors of every dependency: it is loaded when there is one. */
async function reporting() {
  const [{ describeError, shortened }, { reportError }] = await Promise.all([
    import('./describe-error.js'),
    import('./verb.js'),
  ])
  return { describeError, shortened, reportError }
}

/**
 * Builds the command tree, without side effects.
 *
 * @param o.chosen the command of the first level that is loaded; the others have their name and summary alone. All are
 * loaded when absent.
 */
export async function createProgram(
  runner: Runner,
  { chosen, onError = () => undefined }: { readonly chosen?: string; readonly onError?: (text: string) => void } = {},
): Promise<Command> {
  const program = new Command('sealfleet')
    .description('Keeps very many files sealed under keys from an HSM, in S3.')
    .version('0.1.0')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void runner.io.stdout.write(text),
      // Errors are reported by `usage`, in one form for people and programs.
      writeErr: onError,
    })
    .addHelpText('after', AFTER)
  // The list of commands is for finding one; options and arguments are in the command's own help.
  program.configureHelp({ subcommandTerm: (command) => (command.parent === program ? command.name() : term(command)) })
  for (const { heading, commands } of COMMANDS) {
    program.commandsGroup(heading)
    for (const entry of commands) await addCommand(program, runner, entry, chosen)
  }
  program.commandsGroup('Help:').helpCommand(true)
  addExamples(program)
  // Last, so that commands do not inherit it: `--version` after a command is its own (`keys destroy --version 3`).
  program.enablePositionalOptions()
  return program
}

async function addCommand(
  program: Command,
  runner: Runner,
  entry: CommandEntry,
  chosen: string | undefined,
): Promise<void> {
  if (chosen === undefined || chosen === entry.name) return (await entry.load())(program, runner)
  program.command(entry.name).description(entry.summary)
}

function term(command: Command): string {
  return new Help().subcommandTerm(command)
}

async function usage(error: CommanderError, io: Io, print: Printer, said: string): Promise<ExitStatus> {
  if (error.exitCode === 0) return EXIT.done
  const noVerb = error.code === 'commander.help'
  if (noVerb && !print.json) {
    await write(io.stderr, said)
    return EXIT.usage
  }
  const { shortened, reportError } = await reporting()
  const message = noVerb ? 'a command is missing' : shortened(error.message.replace(/^error: /, '').replace(/\n/g, ' '))
  await reportError(io, print, { code: 'USAGE', message, fix: 'see --help of the command', exitStatus: EXIT.usage })
  return EXIT.usage
}

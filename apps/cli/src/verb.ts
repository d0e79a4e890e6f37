import { InvalidArgumentError, Option, type Command } from 'commander'
import { Interrupted } from './abort.js'
import { createContext, type CommandContext, type CommonOptions } from './context.js'
import { describeError, type ErrorReport } from './describe-error.js'
import { EXIT, type ExitStatus } from './exit-status.js'
import { write, type Io } from './io.js'
import { createPrinter, toJson, type Printer } from './output/printer.js'
import { inView } from './output/view.js'

/** The action of a command; it returns the exit status, undefined for done. */
type Action<O extends CommonOptions> = (
  context: CommandContext,
  args: readonly string[],
  options: O,
) => Promise<ExitStatus | void>

/** Connects commands to one run of the program: its Io and its exit status. */
export interface Runner {
  readonly io: Io
  end(status: ExitStatus): void
}

/** Options of every command; `changes` adds --dry-run. */
export function commonOptions(command: Command, o: { changes: boolean }): Command {
  command
    .option('--json', 'print JSON for programs')
    .option('--config <file>', 'read settings (SEALFLEET_… lines) from this file')
    .option('--utc', 'show times in UTC instead of your zone (JSON always does)')
    .option('--wide', 'do not cut tables to the width of the terminal')
  if (o.changes) command.option('--dry-run', 'show what would be done, and change nothing')
  return command
}

/** Runs `action` when the command is chosen; errors become a report and an exit status, never a stack. */
export function perform<O extends CommonOptions>(command: Command, runner: Runner, action: Action<O>): void {
  command.action(async (...given: unknown[]) => {
    // A command with subcommands (`doctor`, `doctor hsm`) accepts the common options before the subcommand as well.
    const options = command.optsWithGlobals<O>()
    const args = given.slice(0, -2).flatMap((value) => (value === undefined ? [] : (value as string | string[])))
    const print = createPrinter(runner.io, options.json === true)
    const work = () => runAction(runner.io, print, options, (context) => action(context, args, options))
    runner.end(await inView(runner.io, options, work))
  })
}

async function runAction(
  io: Io,
  print: Printer,
  options: CommonOptions,
  action: (context: CommandContext) => Promise<ExitStatus | void>,
): Promise<ExitStatus> {
  let goesOn: string | undefined
  try {
    await using context = createContext(io, options, print, (fix) => (goesOn = fix))
    return (await action(context)) ?? EXIT.done
  } catch (error) {
    // What the abort interrupted throws its own error; the reason is the signal.
    const cause: unknown = io.signal.aborted ? io.signal.reason : error
    const described = describeError(cause)
    const report = cause instanceof Interrupted && goesOn !== undefined ? { ...described, fix: goesOn } : described
    if (!readerIsGone(io.signal)) await reportError(io, print, report)
    return report.exitStatus
  }
}

/** `sealfleet restore … | head`: the reader closed the pipe and needs no report. */
function readerIsGone(signal: AbortSignal): boolean {
  return signal.reason instanceof Interrupted && signal.reason.signalName === 'SIGPIPE'
}

/** Prints the error as JSON where results go, or as lines on stderr. Nothing is printed for a closed pipe. */
export async function reportError(io: Io, print: Printer, report: ErrorReport): Promise<void> {
  const { code, fix } = report
  const message = wholeMessage(report)
  try {
    if (print.json) return await print.line({ error: { code, message, ...(fix === undefined ? {} : { fix }) } })
    await write(io.stderr, errorText(report))
  } catch (error) {
    if (print.json) await write(io.stderr, `${toJson({ error: { code, message } })}\n`)
    else throw error
  }
}

export function errorText(report: ErrorReport): string {
  const { code, fix } = report
  return `sealfleet: ${code}: ${wholeMessage(report)}\n${fix === undefined ? '' : `  fix: ${fix}\n`}`
}

function wholeMessage({ message, lines = [] }: ErrorReport): string {
  return [message, ...lines.map((line) => `  ${line}`)].join('\n')
}

/** A whole number option of `min` to `max`. */
export function wholeNumberOption(flags: string, description: string, min: number, max: number): Option {
  return new Option(flags, description).argParser((text) => {
    const value = Number(text)
    if (!/^\d{1,15}$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
    }
    return value
  })
}

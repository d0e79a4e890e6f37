import { Command, CommanderError } from 'commander'
import { auditVerbs } from './commands/audit/index.js'
import { dlqVerbs } from './commands/dlq/index.js'
import { doctorVerb } from './commands/doctor/index.js'
import { domainsVerbs } from './commands/domains/index.js'
import { enqueueVerb } from './commands/enqueue/index.js'
import { fleetVerbs } from './commands/fleet/index.js'
import { holdsVerbs } from './commands/holds/index.js'
import { keysVerbs } from './commands/keys/index.js'
import { listVerb } from './commands/list/index.js'
import { maintenanceVerbs } from './commands/maintenance/index.js'
import { objectVerbs } from './commands/object/index.js'
import { operatorsVerbs } from './commands/operators/index.js'
import { queueVerbs } from './commands/queue/index.js'
import { recoverVerb } from './commands/recover/index.js'
import { rekeyVerbs } from './commands/rekey/index.js'
import { requestsVerbs } from './commands/requests/index.js'
import { restoreVerb } from './commands/restore/index.js'
import { retentionVerbs } from './commands/retention/index.js'
import { rewrapVerb } from './commands/rewrap/index.js'
import { rmVerb } from './commands/rm/index.js'
import { shredVerb } from './commands/shred/index.js'
import { statusVerb } from './commands/status/index.js'
import { traceVerb } from './commands/trace/index.js'
import { verifyVerb } from './commands/verify/index.js'
import { describeError, shortened } from './describe-error.js'
import { EXIT, type ExitStatus } from './exit-status.js'
import { addExamples } from './help/add-examples.js'
import { renamedVerb } from './help/renamed.js'
import { write, type Io } from './io.js'
import { createPrinter, type Printer } from './output/printer.js'
import { reportError, type Runner } from './verb.js'

/** The commands as `--help` shows them: everyday commands first, rare ones last. */
const GROUPS: readonly (readonly [heading: string, verbs: readonly ((program: Command, runner: Runner) => void)[]])[] =
  [
    ['Files:', [enqueueVerb, statusVerb, listVerb, traceVerb, restoreVerb, verifyVerb, rmVerb, shredVerb]],
    ['Keeping and deleting:', [domainsVerbs, holdsVerbs, retentionVerbs]],
    ['Master keys:', [keysVerbs, rekeyVerbs, rewrapVerb]],
    ['People:', [operatorsVerbs, requestsVerbs]],
    ['Proof:', [auditVerbs]],
    ['Running the fleet:', [doctorVerb, fleetVerbs, queueVerbs, dlqVerbs, maintenanceVerbs]],
    ['When all else is lost:', [objectVerbs, recoverVerb]],
  ]

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
    await reportError(io, createPrinter(io, args.includes('--json')), report)
    return EXIT.usage
  }
  let help = ''
  const program = createProgram({ io, end: (ended) => (status = ended) }, (text) => (help += text))
  try {
    await program.parseAsync([...args], { from: 'user' })
    return status
  } catch (error) {
    const print = createPrinter(io, args.includes('--json'))
    if (error instanceof CommanderError) return usage(error, io, print, help)
    const report = describeError(error)
    await reportError(io, print, report)
    return report.exitStatus
  }
}

/** Builds the command tree, without side effects. */
export function createProgram(runner: Runner, onError: (text: string) => void = () => undefined): Command {
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
  for (const [heading, verbs] of GROUPS) {
    program.commandsGroup(heading)
    for (const add of verbs) add(program, runner)
  }
  program.commandsGroup('Help:').helpCommand(true)
  addExamples(program)
  // Last, so that commands do not inherit it: `--version` after a command is its own (`keys destroy --version 3`).
  program.enablePositionalOptions()
  return program
}

async function usage(error: CommanderError, io: Io, print: Printer, said: string): Promise<ExitStatus> {
  if (error.exitCode === 0) return EXIT.done
  const noVerb = error.code === 'commander.help'
  if (noVerb && !print.json) {
    await write(io.stderr, said)
    return EXIT.usage
  }
  const message = noVerb ? 'a command is missing' : shortened(error.message.replace(/^error: /, '').replace(/\n/g, ' '))
  await reportError(io, print, { code: 'USAGE', message, fix: 'see --help of the command', exitStatus: EXIT.usage })
  return EXIT.usage
}

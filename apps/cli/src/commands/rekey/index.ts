import { appendAudit } from '@sealfleet/records/audit'
import {
  assertRekeyable,
  changeRekeyRun,
  getRekeyRun,
  listRekeyRuns,
  rekeyScope,
  retryRekeyItems,
  startRekeyRun,
  type RekeyChange,
  type RekeyScope,
} from '@sealfleet/records/rekey'
import type { Records } from '@sealfleet/records'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { CliError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { count, humanSize } from '../../output/units.js'
import { runReport, runsText, runText, type RunReport } from './report.js'
import { waitForRun } from './wait.js'
import { findDomain } from '../../input/domains.js'
import { requireReasonIfGiven } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface ReasonOption extends CommonOptions {
  readonly reason?: string
}

interface StartOptions extends ReasonOption {
  readonly domain?: string
  readonly from?: number
  readonly rate?: number
  readonly wait?: boolean
}

interface StatusOptions extends CommonOptions {
  readonly limit: number
}

const HELP = `
A file stays stored and readable all the time: its object is opened, every byte of it checked, re-encrypted under the domain's
active keys and present policy (suite, nonce mode, segment size), and exchanged in the record; the old object goes after its
grace. Rotate first: the version that files leave may not be active. Workers do the work (SEALFLEET_REKEY_CONCURRENCY), the
maintenance process hands it out: at least one must run. A run survives any crash, and starting it again resumes it.
\`sealfleet rekey\` without a verb is \`rekey start\`.`

export function rekeyVerbs(program: Command, runner: Runner): void {
  const rekey = program
    .command('rekey')
    .description('re-encrypt stored files: move them from an old key version to the active ones')
    .addHelpText('after', HELP)

  const start = rekey
    .command('start', { isDefault: true })
    .description('re-encrypt all files of a domain that were sealed under one version of its keys')
    .option('--domain <id|name>', 'the key domain')
    .addOption(
      wholeNumberOption(
        '--from <version>',
        'version of the enc or the sig key: files sealed under either are re-encrypted',
        1,
        2 ** 31 - 1,
      ),
    )
    .addOption(
      new Option('--rate <files>', 'at most this many files per second; for an open run: its new rate').argParser(rate),
    )
    .option('--wait', 'wait until the run is over, and show progress')
    .option('--reason <text>', 'for the audit log')
    .addHelpText('after', HELP)
  perform<StartOptions>(commonOptions(start, { changes: true }), runner, startAction)

  const status = rekey
    .command('status')
    .description('show progress of runs, or one run with its failed files')
    .argument('[run]', 'the id of a run')
    .addOption(wholeNumberOption('--limit <n>', 'at most this many runs, the newest first', 1, 1000).default(20))
    .addHelpText(
      'after',
      '\nExit status 1: files of the run failed (docs/operate/runbook.md has a section for each code).',
    )
  perform<StatusOptions>(commonOptions(status, { changes: false }), runner, statusAction)

  changeVerb(rekey, runner, 'pause', 'stop starting new files; files in progress finish')
  changeVerb(rekey, runner, 'resume', 'continue a paused run where it stopped')
  changeVerb(rekey, runner, 'cancel', 'end a run; files that were not moved stay as they are')

  const retry = rekey
    .command('retry')
    .description('retry the failed files of a run, after the repair')
    .argument('<run>', 'the id of a run')
    .option('--reason <text>', 'for the audit log')
    .addHelpText('after', '\nOpens the run again if it was done. See why they failed: `sealfleet rekey status RUN`.')
  perform<ReasonOption>(commonOptions(retry, { changes: true }), runner, retryAction)
}

function changeVerb(rekey: Command, runner: Runner, change: RekeyChange, description: string): void {
  const verb = rekey
    .command(change)
    .description(description)
    .argument('<run>', 'the id of a run')
    .option('--reason <text>', 'for the audit log')
    .addHelpText('after', '\nRuns and their ids: `sealfleet rekey status`. Doing it twice is no error.')
  perform<ReasonOption>(commonOptions(verb, { changes: true }), runner, (context, [id = ''], o) =>
    changeAction(context, change, id, o),
  )
}

function rate(text: string): number {
  const value = Number(text)
  if (!/^\d{1,6}(\.\d{1,6})?$/.test(text) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.')
  return value
}

async function startAction(context: CommandContext, _args: readonly string[], o: StartOptions): Promise<ExitStatus> {
  if (o.domain === undefined || o.from === undefined)
    throw usageError('name the domain and the version that files leave', 'sealfleet rekey --domain default --from 1')
  context.ifStopped('nothing was begun: run the same command again')
  const records = await openDatabase(context, context.settings.load(['database']))
  const domain = await findDomain(records, o.domain)
  const request = { domain: domain.id, fromVersion: o.from }
  await assertRekeyable(records, request)
  const scope = await rekeyScope(records, domain.id, o.from)
  assertOpenable(o.from, scope)
  context.signal.throwIfAborted()
  const about = `${count(scope.files, 'file')}, ${humanSize(scope.bytes)}`
  const actor = `cli:${context.io.user}`
  const { created, run } = await inTransaction(records, o.dryRun, async (tx) => {
    const started = await startRekeyRun(tx, { ...request, filesPerSecond: o.rate, createdBy: actor })
    const detail = { ...request, rate: started.run.filesPerSecond, created: started.created, ...reasonOf(o) }
    await appendAudit(tx, { actor, action: 'rekey.start', ...subject(started.run.id), detail })
    return started
  })
  if (o.dryRun === true) {
    await context.print.document({ ...request, ...scope, dryRun: true })
    await context.print.text(`would move ${about} of domain ${domain.name} away from version ${o.from}`)
    return EXIT.done
  }
  if (o.wait !== true) {
    await context.print.document({ ...(await runReport(records, run)), created })
    await context.print.text(`${created ? 'begun' : 'resumed'}: run ${run.id}, ${about}`)
    await context.print.note(`see \`sealfleet rekey status ${run.id}\``)
    return EXIT.done
  }
  context.ifStopped(goesOnAlone(run.id))
  await context.print.note(`${created ? 'begun' : 'resumed'}: run ${run.id}, ${about}`)
  const report = await waitForRun(context, records, run, scope)
  await context.print.document({ ...report, created })
  await context.print.text(runText(report))
  return report.state === 'DONE' ? statusOf(report) : EXIT.failed
}

/** Shown when the user stops waiting. */
function goesOnAlone(id: string): string {
  return `run ${id} continues without this command: \`sealfleet rekey status ${id}\` shows its progress, \`sealfleet rekey pause ${id}\` stops it`
}

/** Refuses a version that was destroyed. */
function assertOpenable(version: number, { files, lost }: RekeyScope): void {
  if (files === 0 || lost < files) return
  throw new CliError(
    'E_KEY_DESTROYED',
    `version ${version} was destroyed: ${count(files, 'file')} under it cannot be opened`,
    {
      exitStatus: EXIT.key,
      fix: 'nothing can be done for these files; see `sealfleet keys list`',
    },
  )
}

async function statusAction(context: CommandContext, [id]: readonly string[], o: StatusOptions): Promise<ExitStatus> {
  const records = await openDatabase(context, context.settings.load(['database']))
  if (id !== undefined) {
    const report = await runReport(records, await getRekeyRun(records, runId(id)))
    await context.print.document(report)
    await context.print.text(runText(report))
    if (report.failed.length > 0) await context.print.note(`after the repair: sealfleet rekey retry ${report.id}`)
    return statusOf(report)
  }
  const reports: RunReport[] = []
  for (const run of await listRekeyRuns(records, { limit: o.limit })) reports.push(await runReport(records, run))
  await context.print.document({ runs: reports })
  await context.print.text(reports.length === 0 ? 'no re-encryption was ever started here' : runsText(reports))
  return EXIT.done
}

async function changeAction(
  context: CommandContext,
  change: RekeyChange,
  given: string,
  o: ReasonOption,
): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const id = runId(given)
  const { state } = await getRekeyRun(records, id)
  const { changed, run } = await inTransaction(records, o.dryRun, async (tx) => {
    const done = await changeRekeyRun(tx, id, change)
    const actor = `cli:${context.io.user}`
    if (done.changed)
      await appendAudit(tx, { actor, action: `rekey.${change}`, ...subject(id), detail: { ...reasonOf(o) } })
    return done
  })
  if (o.dryRun === true) {
    await context.print.document({ id, state, change, changed, dryRun: true })
    return context.print.text(`would ${change} run ${id}, which is ${state}${changed ? '' : ' already'}`)
  }
  await context.print.document({ ...(await runReport(records, run)), changed })
  await context.print.text(`run ${run.id} ${changed ? 'is now' : 'was'} ${run.state}${changed ? '' : ' already'}`)
}

async function retryAction(context: CommandContext, [given = '']: readonly string[], o: ReasonOption): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const id = runId(given)
  const retried = await retry(context, records, id, o)
  await context.print.document({ id, retried, dryRun: o.dryRun === true })
  const what = o.dryRun === true ? 'would get another try' : 'will be tried again'
  await context.print.text(retried === 0 ? 'no file of that run failed' : `${count(retried, 'file')} ${what}`)
}

function retry(context: CommandContext, records: Records, id: string, o: ReasonOption): Promise<number> {
  return inTransaction(records, o.dryRun, async (tx) => {
    const retried = await retryRekeyItems(tx, id)
    const actor = `cli:${context.io.user}`
    if (retried > 0)
      await appendAudit(tx, { actor, action: 'rekey.retry', ...subject(id), detail: { retried, ...reasonOf(o) } })
    return retried
  })
}

function statusOf({ items }: RunReport): ExitStatus {
  return items.FAILED === 0 ? EXIT.done : EXIT.failed
}

function runId(given: string): string {
  const id = given.toLowerCase()
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id
  throw usageError('a run is named by its id', 'see `sealfleet rekey status`')
}

function subject(id: string) {
  return { subjectKind: 'rekey-run', subjectId: id } as const
}

function reasonOf({ reason: given }: ReasonOption): { readonly reason?: string } {
  const reason = requireReasonIfGiven(given)
  return reason === undefined ? {} : { reason }
}

import { discardDeadLetter, getDeadLetter, getFile, listDeadLetters } from '@sealfleet/records/files'
import type { DeadLetterRow, DeadLetterState } from '@sealfleet/records'
import { InvalidArgumentError, Option, type Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { rehearseReplay } from './preview.js'
import { Replay, type ReplayTally } from './replay.js'
import { chooseLetters, findLetter, letterFilter, letterOptions, maxOption, type LetterOptions } from './select.js'
import { openIngest } from '../enqueue/deps.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { pairs, table } from '../../output/table.js'
import { count, humanTime } from '../../output/units.js'
import { requireReason, requireReasonIfGiven } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface ListOptions extends CommonOptions, LetterOptions {
  readonly state: DeadLetterState | 'any'
  readonly limit: number
}

interface ChangeOptions extends CommonOptions, LetterOptions {
  readonly all?: boolean
  readonly max?: number
  readonly reason?: string
}

interface ReplayOptions extends ChangeOptions {
  readonly rate: number
  readonly inFlight: number
  readonly stopAt: number
  readonly wait?: boolean
}

const STATES = ['OPEN', 'REPLAYED', 'DISCARDED'] as const satisfies readonly DeadLetterState[]

export function dlqVerbs(program: Command, runner: Runner): void {
  const dlq = program
    .command('dlq')
    .description('list, replay or discard dead letters: files that could not be stored, and refused requests')

  const ls = letterOptions(dlq.command('ls').description('list dead letters, oldest first'))
    .addOption(
      new Option('--state <state>', 'open, replayed, discarded or any')
        .argParser((text) => {
          const state = [...STATES, 'any' as const].find((one) => one.toLowerCase() === text.toLowerCase())
          if (state === undefined) throw new InvalidArgumentError('It must be one of open, replayed, discarded, any.')
          return state
        })
        .default('OPEN', 'open'),
    )
    .addOption(wholeNumberOption('--limit <n>', 'at most this many (1 to 1000)', 1, 1000).default(100))
  perform<ListOptions>(commonOptions(ls, { changes: false }), runner, lsAction)

  const show = dlq
    .command('show')
    .description('show one dead letter: the file, why it died, and every earlier failure')
    .argument('<id>', 'the id of a dead letter or of its file, or the text given with --id when it was enqueued')
  perform<CommonOptions>(commonOptions(show, { changes: false }), runner, showAction)

  const replay = letterOptions(
    dlq
      .command('replay')
      .description('return dead files to the workers, with a fresh count of attempts')
      .argument('[id...]', 'dead letters or files; without any, those that the filter selects'),
  )
    .option('--all', 'every open dead letter')
    .addOption(maxOption())
    .addOption(wholeNumberOption('--rate <n>', 'letters per second', 1, 10_000).default(10))
    .addOption(wholeNumberOption('--in-flight <n>', 'replayed files in progress at a time', 1, 100_000).default(100))
    .addOption(
      wholeNumberOption(
        '--stop-at <percent>',
        'stop when more than this share of the replayed files died again',
        0,
        100,
      ).default(20),
    )
    .option('-w, --wait', 'wait until every replayed file is stored or dead again')
    .option('--reason <text>', 'for the audit log')
  perform<ReplayOptions>(commonOptions(replay, { changes: true }), runner, replayAction)

  const discard = letterOptions(
    dlq
      .command('discard')
      .description('close dead letters for good: their files will not be stored')
      .argument('[id...]', 'dead letters or files; without any, those that the filter selects'),
  )
    .option('--all', 'every open dead letter')
    .addOption(maxOption())
    .requiredOption('--reason <text>', 'why, for the letter and the audit log')
  perform<ChangeOptions>(commonOptions(discard, { changes: true }), runner, discardAction)
}

async function lsAction(context: CommandContext, _args: readonly string[], o: ListOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const filter = await letterFilter(records, o)
  const letters = await listDeadLetters(records, { ...filter, state: o.state, limit: o.limit })
  await context.print.document({ letters })
  await context.print.text(letters.length === 0 ? 'no such dead letters' : letterTable(letters))
  if (letters.length === o.limit) await context.print.note(`there may be more: raise --limit, or narrow the filter`)
}

function letterTable(letters: readonly DeadLetterRow[]): string {
  const columns = ['ID', 'DIED', 'STATE', 'CODE', 'OWNER', 'FILE', 'REASON'].map((title) => ({ title }))
  return table(
    columns,
    letters.map((letter) => [
      letter.id,
      humanTime(letter.createdAt),
      letter.state,
      letter.code,
      letter.owner ?? '-',
      letter.jobId === null ? (letter.fileId ?? '-') : 'a refused request',
      letter.reason.length > 60 ? `${letter.reason.slice(0, 59)}…` : letter.reason,
    ]),
  )
}

async function showAction(context: CommandContext, [given = '']: readonly string[]): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const { letter, history } = await getDeadLetter(records, (await findLetter(records, given)).id)
  const file = letter.fileId === null ? undefined : (await getFile(records, letter.fileId))?.file
  const source = file?.source ?? null
  await context.print.document({ letter, source, fileState: file?.state ?? null, history })
  const resolved = letter.resolvedAt === null ? [] : [['resolved', resolution(letter)] as [string, string]]
  await context.print.text(
    pairs([
      ['letter', letter.id],
      ['state', letter.state],
      ['code', `${letter.code} (${letter.class})`],
      ['reason', letter.reason],
      ['died', humanTime(letter.createdAt)],
      ['owner', letter.owner ?? '-'],
      ['file', letter.fileId ?? '-'],
      ['source', source === null ? '-' : `${source.root}:${source.path}`],
      ['file is', file?.state ?? '-'],
      ['generation', String(letter.generation)],
      ...(letter.jobId === null ? [] : [['refused job', letter.jobId] as [string, string]]),
      ...resolved,
      ['runbook', `docs/operate/runbook.md, section ${letter.code}`],
    ]),
  )
  const rows = history.map((f) => [
    humanTime(f.at),
    String(f.generation),
    String(f.attemptNo),
    f.code,
    f.owner,
    f.message,
  ])
  const columns = ['TIME', 'GENERATION', 'ATTEMPT', 'CODE', 'WORKER', 'WHAT'].map((title) => ({ title }))
  if (rows.length > 0) await context.print.text(`\n${table(columns, rows)}`)
}

function resolution(letter: DeadLetterRow): string {
  const why = letter.resolution === null ? '' : `: ${letter.resolution}`
  return `${humanTime(letter.resolvedAt)} by ${letter.resolvedBy ?? '-'}${why}`
}

async function replayAction(context: CommandContext, ids: readonly string[], o: ReplayOptions): Promise<ExitStatus> {
  const reason = requireReasonIfGiven(o.reason)
  const config = context.settings.load(['database', 'redis'])
  const records = await openDatabase(context, config)
  const letters = await chooseLetters(records, ids, o, context.signal)
  const ingest = await openIngest(context, config, records)
  if (letters.length > 0 && (await ingest.queue.isPaused())) {
    await context.print.note('note: the queue is paused: sealfleet queue resume')
  }
  const settings = { ...o, wait: o.wait === true, reason, actor: `cli:${context.io.user}` }
  if (o.dryRun === true) {
    const rehearsed = await rehearseReplay(records, ingest.queue, context.signal, letters, settings)
    return await reportReplay(context, rehearsed, letters, { named: ids.length > 0, waited: false, dryRun: true })
  }
  const replay = new Replay(records, ingest.client, context.signal, settings)
  let said = performance.now()
  try {
    await replay.run(letters, async () => {
      if (performance.now() - said < 5_000) return
      said = performance.now()
      await context.print.note(`${progressLine(replay.tally, letters.length)}, ${replay.underWay} under way`)
    })
  } catch (error) {
    await context.print.note(`${progressLine(replay.tally, letters.length)}; the others stay dead letters`)
    throw error
  }
  const how = { named: ids.length > 0, waited: o.wait === true, dryRun: false }
  return await reportReplay(context, replay.tally, letters, how)
}

function progressLine({ outcomes, stored, diedAgain }: ReplayTally, total: number): string {
  return `${outcomes.replayed} of ${total} replayed, ${stored} stored, ${diedAgain} dead again`
}

async function reportReplay(
  context: CommandContext,
  tally: ReplayTally,
  letters: readonly DeadLetterRow[],
  { named, waited, dryRun }: { named: boolean; waited: boolean; dryRun: boolean },
): Promise<ExitStatus> {
  const { outcomes, stored, diedAgain, stopped, left } = tally
  const notDone = outcomes.resolved + outcomes['refused-request'] + outcomes['not-dead']
  const failed = stopped !== undefined || (named && notDone > 0) || (waited && diedAgain > 0)
  await context.print.document({
    chosen: letters.length,
    replayed: outcomes.replayed,
    jobRestored: outcomes['job-restored'],
    resolvedBefore: outcomes.resolved,
    refusedRequests: outcomes['refused-request'],
    notDead: outcomes['not-dead'],
    stored,
    diedAgain,
    stopped: stopped ?? null,
    left,
    ...(dryRun ? rehearsedLetters(letters) : {}),
  })
  const lines = [
    `${outcomes.replayed} ${dryRun ? 'would be ' : ''}replayed${stored + diedAgain > 0 ? `: ${stored} stored, ${diedAgain} dead again${waited ? '' : ' so far'}` : ''}`,
    ...(outcomes['job-restored'] > 0 ? [`${outcomes['job-restored']} had lost their job and have it again`] : []),
    ...(outcomes.resolved > 0 ? [`${outcomes.resolved} were resolved before`] : []),
    ...(outcomes['refused-request'] > 0
      ? [
          `${outcomes['refused-request']} are refused requests and cannot be replayed: the producer must ask again; then discard them`,
        ]
      : []),
    ...(outcomes['not-dead'] > 0 ? [`${outcomes['not-dead']} have a file that is not dead`] : []),
    ...(stopped === undefined ? [] : [`stopped: ${stopped}; ${count(left, 'letter')} left as they were`]),
  ]
  await context.print.text(lines.join('\n'))
  if (dryRun) await printCodes(context, letters)
  else if (outcomes.replayed > 0 && !failed)
    await context.print.note('follow them: sealfleet status; sealfleet trace ID')
  return failed ? EXIT.failed : EXIT.done
}

async function discardAction(context: CommandContext, ids: readonly string[], o: ChangeOptions): Promise<ExitStatus> {
  const reason = requireReason(o.reason)
  const records = await openDatabase(context, context.settings.load(['database']))
  const letters = await chooseLetters(records, ids, o, context.signal)
  const actor = `cli:${context.io.user}`
  const outcomes = { done: 0, resolved: 0, 'refused-request': 0, 'not-dead': 0 }
  for (const { id } of letters) {
    context.signal.throwIfAborted()
    const { outcome } = await inTransaction(records, o.dryRun, (tx) => discardDeadLetter(tx, { id, actor, reason }))
    outcomes[outcome] += 1
  }
  const { done: discarded, resolved, 'not-dead': notDead } = outcomes
  await context.print.document({
    chosen: letters.length,
    discarded,
    resolvedBefore: resolved,
    notDead,
    ...(o.dryRun === true ? rehearsedLetters(letters) : {}),
  })
  await context.print.text(`${count(discarded, 'dead letter')} ${o.dryRun === true ? 'would be ' : ''}discarded`)
  if (o.dryRun === true) await printCodes(context, letters)
  if (resolved + notDead === 0) return EXIT.done
  const said = `${count(resolved, 'letter')} resolved before, ${notDead} whose file is not dead: left as they were`
  await context.print.note(said)
  return ids.length > 0 ? EXIT.failed : EXIT.done
}

/** What a dry run adds to the document of the real run. */
function rehearsedLetters(letters: readonly DeadLetterRow[]) {
  return { dryRun: true, codes: codesOf(letters), ids: letters.map(({ id }) => id) }
}

function codesOf(letters: readonly DeadLetterRow[]): ReadonlyMap<string, number> {
  const codes = new Map<string, number>()
  for (const { code } of letters) codes.set(code, (codes.get(code) ?? 0) + 1)
  return codes
}

async function printCodes(context: CommandContext, letters: readonly DeadLetterRow[]): Promise<void> {
  const rows = [...codesOf(letters)].map(([code, n]) => [code, String(n)])
  if (rows.length > 0) await context.print.text(table([{ title: 'CODE' }, { title: 'LETTERS', align: 'right' }], rows))
}

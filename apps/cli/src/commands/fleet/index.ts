import { isNonNilUuid, takeOverQueues } from '@sealfleet/queue'
import { CodedError } from '@sealfleet/failures'
import { takeOverBucket } from '@sealfleet/objects'
import { appendAudit } from '@sealfleet/records/audit'
import { getFleet, rememberTakenOver } from '@sealfleet/records/fleet'
import type { Command } from 'commander'
import { CliError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { describeError } from '../../describe-error.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { pairs } from '../../output/table.js'
import { humanTime } from '../../output/units.js'
import { bucketMark, connectedWorkers, openRedisFor, queuesMark, type Mark } from '../../services/fleet.js'
import { requireReason } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { openObjectStore } from '../../services/store.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface AdoptOptions extends CommonOptions {
  readonly reason: string
}

export function fleetVerbs(program: Command, runner: Runner): void {
  const fleet = program.command('fleet').description('show the id of this fleet, or take over from a lost one')

  const show = fleet
    .command('show')
    .description('show the id of this fleet, and which fleet owns the configured queues and bucket')
    .addHelpText('after', '\nExit status 1: the queues or the bucket belong to another fleet.')
  perform<CommonOptions>(commonOptions(show, { changes: false }), runner, showAction)

  const adopt = fleet
    .command('adopt')
    .description('take over the queues and the bucket of a fleet whose database is lost')
    .argument('<fleet>', 'the id of the lost fleet, as `fleet show` names it beside the queues and the bucket')
    .requiredOption('--reason <text>', 'why, for the audit log')
    .addHelpText(
      'after',
      `
For a database that was recovered or recreated. Stop the other fleet first: its workers take no more jobs afterwards. Jobs
that it left in the queues become jobs of this fleet.`,
    )
  perform<AdoptOptions>(commonOptions(adopt, { changes: true }), runner, adoptAction)
}

async function showAction(context: CommandContext): Promise<ExitStatus> {
  const config = context.settings.load(['database', 'redis', 's3'])
  const { id, createdAt, tookOver } = await getFleet(await openDatabase(context, config))
  const [queues, bucket] = await Promise.all([
    look(queuesMark(context, config), id),
    look(bucketMark(context, config), id),
  ])
  await context.print.document({ id, createdAt, tookOver, queues, bucket })
  await context.print.text(
    pairs([
      ['fleet', id],
      ['since', humanTime(createdAt)],
      ...tookOver.map((other): [string, string] => ['took over', other]),
      ['queues', queues.text],
      ['bucket', bucket.text],
    ]),
  )
  return Math.max(queues.status, bucket.status) as ExitStatus
}

interface Seen {
  readonly owner: string | null
  readonly text: string
  readonly status: ExitStatus
}

/** The id of the fleet is shown even while one of the two is out of reach. */
async function look(looking: Promise<Mark>, id: string): Promise<Seen> {
  try {
    const { where, owner = null } = await looking
    if (owner === null) return { owner, text: `${where}: not marked by a fleet yet`, status: EXIT.done }
    if (owner === id) return { owner, text: `${where}: this fleet's`, status: EXIT.done }
    return { owner, text: `${where}: belong to fleet ${owner}`, status: EXIT.failed }
  } catch (error) {
    const { code, message, exitStatus } = describeError(error)
    return { owner: null, text: `${code}: ${message}`, status: exitStatus }
  }
}

async function adoptAction(context: CommandContext, [given = '']: readonly string[], o: AdoptOptions): Promise<void> {
  const reason = requireReason(o.reason)
  const lost = given.toLowerCase()
  if (!isNonNilUuid(lost)) throw usageError(`${given} is not the id of a fleet`, 'see `sealfleet fleet show`')
  const config = context.settings.load(['database', 'redis', 's3'])
  const records = await openDatabase(context, config)
  const { id } = await getFleet(records)
  const marks = [await queuesMark(context, config), await bucketMark(context, config)]
  const foreign = marks.filter(({ owner }) => owner !== undefined && owner !== id)
  for (const mark of foreign) if (mark.owner !== lost) throw anothers(mark, lost)
  if (foreign[0] === marks[0]) await assertStopped(context, config)
  await inTransaction(records, o.dryRun, async (tx) => {
    if (foreign.length === 0) return
    await rememberTakenOver(tx, lost)
    const detail = { from: lost, took: foreign.map(({ where }) => where), reason }
    const actor = `cli:${context.io.user}`
    await appendAudit(tx, { actor, action: 'fleet.adopt', subjectKind: 'fleet', subjectId: id, detail })
    if (o.dryRun === true) return
    // Last, and each safe to repeat: when one fails, the transaction rolls back and the same command can be run again.
    const store = await openObjectStore(config, { access: 'read-write', context })
    context.defer(() => store.close())
    await takeOverBucket(store, id, { signal: context.signal })
    await takeOverQueues(await openRedisFor(context, config), id, config.redis.prefix)
  })
  const took = foreign.map(({ where }) => where)
  await context.print.document({ fleet: id, from: lost, took, dryRun: o.dryRun === true })
  const would = o.dryRun === true ? 'would be' : 'are'
  await context.print.text(
    took.length === 0
      ? `nothing belongs to fleet ${lost}: there is nothing to take over`
      : `${took.join(' and ')} ${would} this fleet's, ${id}`,
  )
}

function anothers({ where, owner = '' }: Mark, lost: string): CodedError {
  return new CodedError('FLEET_MISMATCH', `${where}: belong to fleet ${owner}, not to ${lost}`, {
    fix: 'Correct the settings, or name that fleet if it is the lost one.',
  })
}

async function assertStopped(context: CommandContext, config: Parameters<typeof connectedWorkers>[1]): Promise<void> {
  const workers = await connectedWorkers(context, config)
  if (workers === 0) return
  throw new CliError('BAD_STATE', `${workers} workers of the other fleet are connected to its queues`, {
    exitStatus: EXIT.failed,
    fix: 'stop them first; if they must keep running, that fleet is not lost: correct the settings',
  })
}

import { randomUUID } from 'node:crypto'
import { assertQueuesAreOurs, QUEUE_NAMES, queueOptions, requestProbe, type QueueName } from '@sealfleet/queue'
import { appendAudit } from '@sealfleet/records/audit'
import { getFleet } from '@sealfleet/records/fleet'
import { listWorkers, type WorkerRow } from '@sealfleet/records/upkeep'
import { Argument, type Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { describeError } from '../../describe-error.js'
import { table } from '../../output/table.js'
import { count, humanTime } from '../../output/units.js'
import { requireReasonIfGiven } from '../../input/reason.js'
import { openRedisFor } from '../../services/fleet.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { openBreakers, takesJobs, workersOf } from '../status/processes.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface SwitchOptions extends CommonOptions {
  readonly reason?: string
}

export function queueVerbs(program: Command, runner: Runner): void {
  const queue = program.command('queue').description('show, pause, resume and probe the queues in Redis')

  const status = queue.command('status').description('show jobs by state, workers, and whether the intake is paused')
  perform<CommonOptions>(commonOptions(status, { changes: false }), runner, statusAction)

  const pause = queue
    .command('pause')
    .description('stop workers from taking jobs; running jobs finish, accepted files stay accepted')
  perform<SwitchOptions>(commonOptions(queueArgument(pause), { changes: true }), runner, (context, args, o) =>
    switchQueue(context, args, o, true),
  )

  const resume = queue.command('resume').description('let workers take jobs again')
  perform<SwitchOptions>(commonOptions(queueArgument(resume), { changes: true }), runner, (context, args, o) =>
    switchQueue(context, args, o, false),
  )

  const probe = queue
    .command('probe')
    .description('make workers that wait for a dependency probe it now, after a repair')
    .option('--reason <text>', 'for the audit log')
  perform<SwitchOptions>(commonOptions(probe, { changes: true }), runner, probeAction)
}

function queueArgument(command: Command): Command {
  return command
    .addArgument(new Argument('[queue]', 'which').choices(QUEUE_NAMES).default('ingest'))
    .option('--reason <text>', 'for the audit log')
}

const COUNTED = ['waiting', 'active', 'delayed', 'completed', 'failed'] as const

async function statusAction(context: CommandContext): Promise<void> {
  const queues = []
  const { workers, unknown } = await liveWorkers(context)
  for (const queue of (await openQueues(context, QUEUE_NAMES)).queues) {
    const counts = await queue.getJobCounts(...COUNTED)
    queues.push({
      queue: queue.name,
      paused: await queue.isPaused(),
      workers: workers === null ? null : workersOf(workers, queue.name),
      ...(Object.fromEntries(COUNTED.map((state) => [state, counts[state] ?? 0])) as Record<
        (typeof COUNTED)[number],
        number
      >),
    })
  }
  await context.print.document({ queues })
  const numbers = COUNTED.map((state) => ({ title: state.toUpperCase(), align: 'right' }) as const)
  const columns = [{ title: 'QUEUE' }, { title: 'INTAKE' }, { title: 'WORKERS', align: 'right' } as const, ...numbers]
  const rows = queues.map((one) => [
    one.queue,
    one.paused ? 'paused' : 'open',
    one.workers === null ? 'unknown' : String(one.workers),
    ...COUNTED.map((state) => String(one[state])),
  ])
  await context.print.text(table(columns, rows))
  if (unknown !== undefined) await context.print.note(unknown)
}

/** From the records: a connection to Redis may belong to a hung process, and some Redis servers list no connections. */
async function liveWorkers(context: CommandContext): Promise<{
  readonly workers: readonly WorkerRow[] | null
  readonly unknown?: string
}> {
  try {
    return { workers: await listWorkers(await openDatabase(context, context.settings.load(['database']))) }
  } catch (error) {
    context.signal.throwIfAborted()
    const { code, message } = describeError(error, 'database')
    return { workers: null, unknown: `the number of workers could not be read from Postgres: ${code}: ${message}` }
  }
}

async function switchQueue(
  context: CommandContext,
  [name]: readonly string[],
  { dryRun, reason: given }: SwitchOptions,
  pause: boolean,
): Promise<void> {
  const reason = requireReasonIfGiven(given)
  const { queues, connection, prefix } = await openQueues(
    context,
    QUEUE_NAMES.filter((one) => one === (name ?? 'ingest')),
  )
  const [queue] = queues
  if (queue === undefined) throw new Error('the argument parser lets only known queues through')
  const records = await openDatabase(context, context.settings.load(['database']))
  const { id } = await getFleet(records)
  await assertQueuesAreOurs(connection, id, prefix)
  const was = await queue.isPaused()
  await inTransaction(records, dryRun, async (tx) => {
    if (was === pause) return
    const detail = reason === undefined ? {} : { reason }
    const subject = { subjectKind: 'queue', subjectId: queue.name }
    await appendAudit(tx, {
      actor: `cli:${context.io.user}`,
      action: `queue.${pause ? 'pause' : 'resume'}`,
      ...subject,
      detail,
    })
    // Last: a failure rolls its audit row back.
    if (dryRun !== true) await (pause ? queue.pause() : queue.resume())
  })
  await context.print.document({
    queue: queue.name,
    paused: dryRun === true ? was : pause,
    changed: was !== pause,
    dryRun: dryRun === true,
  })
  const word = pause ? 'paused' : 'open'
  await context.print.text(
    was === pause
      ? `${queue.name} is ${word} already`
      : dryRun
        ? `${queue.name} would be ${word}`
        : `${queue.name} is ${word}`,
  )
}

async function probeAction(context: CommandContext, _args: readonly string[], o: SwitchOptions): Promise<void> {
  const reason = requireReasonIfGiven(o.reason)
  const config = context.settings.load(['database', 'redis'])
  const records = await openDatabase(context, config)
  const workers = (await listWorkers(records)).filter((worker) => worker.alive && takesJobs(worker))
  const waiting = workers.flatMap(openBreakers)
  const { prefix } = config.redis
  const connection = await openRedisFor(context, context.settings.load(['redis']))
  await assertQueuesAreOurs(connection, (await getFleet(records)).id, prefix)
  const id = randomUUID()
  await inTransaction(records, o.dryRun, async (tx) => {
    const detail = { request: id, waiting: waiting.length, ...(reason === undefined ? {} : { reason }) }
    const event = { actor: `cli:${context.io.user}`, action: 'queue.probe', subjectKind: 'queue', subjectId: 'workers' }
    await appendAudit(tx, { ...event, detail })
    // Last: a failure rolls its audit row back.
    if (o.dryRun !== true) await requestProbe(connection, prefix, id)
  })
  await context.print.document({ workers: workers.length, waiting, dryRun: o.dryRun === true })
  const asked = o.dryRun === true ? 'would be asked to probe now' : 'asked to probe now'
  await context.print.text(
    waiting.length === 0
      ? `no worker reports that it waits; ${asked}: ${count(workers.length, 'worker')}`
      : `${asked}: ${count(new Set(waiting.map(({ worker }) => worker)).size, 'worker')}`,
  )
  if (waiting.length > 0) {
    const columns = ['WORKER', 'WAITS FOR', 'CODE', 'SINCE', 'NEXT PROBE'].map((title) => ({ title }))
    const rows = waiting.map((one) => [
      one.worker,
      one.dependency,
      one.code,
      humanTime(one.since),
      humanTime(one.nextProbe),
    ])
    await context.print.text(table(columns, rows))
  }
}

async function openQueues(context: CommandContext, names: readonly QueueName[]) {
  const { prefix } = context.settings.load(['redis']).redis
  const { Queue } = await import('bullmq')
  const connection = await openRedisFor(context, context.settings.load(['redis']))
  const queues = names.map((name) => {
    const queue = new Queue(name, { connection, ...queueOptions(prefix) })
    // Failed commands reject at their call; the connection's own events add nothing.
    queue.on('error', () => undefined)
    context.defer(() => queue.close())
    return queue
  })
  return { queues, connection, prefix }
}

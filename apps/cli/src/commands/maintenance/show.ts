import { RECURRING } from '@sealfleet/maintenance'
import { listScrubs, scrubBacklog } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import { Argument, type Command } from 'commander'
import { missingError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { printable } from '../../output/printable.js'
import { toJson } from '../../output/printer.js'
import { table } from '../../output/table.js'
import { count, humanSize, humanTime } from '../../output/units.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { taskReports, taskTable } from './list.js'
import { tellFindings } from './scrub.js'

export function maintenanceShowVerb(maintenance: Command, runner: Runner): void {
  const show = maintenance
    .command('show')
    .description('show one task and the report of its last run; of scrub also the passes over the store')
    .addArgument(new Argument('<task>', 'a task, see `maintenance list`').choices(Object.keys(RECURRING)))
  perform<CommonOptions>(commonOptions(show, { changes: false }), runner, showAction)
}

async function showAction(context: CommandContext, [name = '']: readonly string[]): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const task = (await taskReports(records)).find((one) => one.name === name)
  if (task === undefined) throw missingError('NOT_FOUND', `there is no task ${printable(name)}`)
  const scrubs = name === 'scrub' ? await readScrubs(records) : undefined
  await context.print.document({ task, ...scrubs })
  await context.print.text(taskTable(context, [task]))
  const report = Object.entries(task.report ?? {}).map(([field, value]) => [field, toJson(value)])
  if (report.length > 0)
    await context.print.text(`\n${table([{ title: 'REPORT' }, { title: '', sentence: true }], report)}`)
  if (scrubs !== undefined) await tellScrubs(context, scrubs)
}

/** The passes over the store, the latest first, and what is left of the open one. */
async function readScrubs(records: Records) {
  const passes = await listScrubs(records)
  const open = passes.find(({ finishedAt }) => finishedAt === null)
  return { passes, left: open === undefined ? null : await scrubBacklog(records, open.startedAt, open.id) }
}

async function tellScrubs(context: CommandContext, { passes, left }: Awaited<ReturnType<typeof readScrubs>>) {
  if (passes.length === 0) return context.print.text('no pass yet')
  const columns = ['BEGUN', 'ENDED', 'OBJECTS', 'BYTES', 'FAILED'].map((title) => ({ title }))
  const rows = passes.map((pass) => [
    humanTime(pass.startedAt),
    pass.finishedAt === null ? 'under way' : humanTime(pass.finishedAt),
    String(pass.objects),
    humanSize(pass.bytes),
    String(pass.failed),
  ])
  await context.print.text(`\n${table(columns, rows)}`)
  if (left !== null) await context.print.text(`left: ${count(left.objects, 'object')}, ${humanSize(left.bytes)}`)
  for (const pass of passes.slice(0, 1)) await tellFindings(context, pass)
}

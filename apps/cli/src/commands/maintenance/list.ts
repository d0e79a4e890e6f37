import { RECURRING } from '@sealfleet/maintenance'
import { listTasks, type MaintenanceTaskRow } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { table } from '../../output/table.js'
import { humanTime } from '../../output/units.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

/** A task, and what the records have of it; times and outcome are null for one that has never run. */
export type TaskReport = MaintenanceTaskRow & { readonly does: string }

/** Milliseconds after which a task that is due and does not run is shown as overdue. */
const OVERDUE_MS = 60_000

export function maintenanceListVerb(maintenance: Command, runner: Runner): void {
  const list = maintenance
    .command('list')
    .description('list the recurring tasks: when each last ran, its outcome, and when it is due next')
    .addHelpText(
      'after',
      `
A task is due by the database's clock, and one process of the fleet runs it. Outcomes: done; found, which needs attention
(\`maintenance show TASK\` has what was found); else the code of a failure (docs/operate/runbook.md), and the task is tried again within
seconds. A task is overdue when no maintenance process takes it. Scrub runs only where SEALFLEET_SCRUB_MIB_PER_SECOND is set.`,
    )
  perform<CommonOptions>(commonOptions(list, { changes: false }), runner, listAction)
}

async function listAction(context: CommandContext): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const tasks = await taskReports(records)
  await context.print.document({ tasks })
  await context.print.text(taskTable(context, tasks))
}

/** Every recurring task, also those that have never run. */
export async function taskReports(records: Records): Promise<readonly TaskReport[]> {
  const rows = new Map((await listTasks(records)).map((row) => [row.name, row]))
  return Object.entries(RECURRING).map(([name, does]) => ({ ...(rows.get(name) ?? neverRun(name)), does }))
}

function neverRun(name: string): MaintenanceTaskRow {
  return {
    name,
    owner: null,
    startedAt: null,
    finishedAt: null,
    outcome: null,
    report: {},
    everySeconds: null,
    dueAt: null,
  }
}

export function taskTable(context: CommandContext, tasks: readonly TaskReport[]): string {
  const columns = [
    { title: 'TASK' },
    { title: 'LAST ENDED' },
    { title: 'OUTCOME' },
    { title: 'NEXT DUE' },
    { title: 'DOES', sentence: true } as const,
  ]
  const rows = tasks.map((task) => [
    task.name,
    task.finishedAt === null ? 'never' : humanTime(task.finishedAt),
    task.outcome ?? '-',
    dueText(task),
    task.does,
  ])
  return table(columns, rows, (padded, cell, column) =>
    (column === 2 && cell !== '-' && cell !== 'done') || (column === 3 && cell.startsWith('overdue'))
      ? context.print.paint('bad', padded)
      : padded,
  )
}

function dueText({ owner, dueAt }: MaintenanceTaskRow): string {
  if (owner !== null) return `run now by ${owner}`
  if (dueAt === null) return '-'
  return Date.now() - dueAt.getTime() > OVERDUE_MS ? `overdue since ${humanTime(dueAt)}` : humanTime(dueAt)
}

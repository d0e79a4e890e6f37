import type { MaintenanceTaskRow, WorkerRow } from '@sealfleet/records'
import type { CommandContext } from '../context.js'
import { table } from '../output/table.js'
import { humanTime } from '../output/units.js'

/** A worker that has ended properly is history; one that fell silent is news for an hour. */
export function isOfInterest({ state, alive, expiresAt }: WorkerRow): boolean {
  return alive || (state !== 'STOPPED' && Date.now() - expiresAt.getTime() < 3_600_000)
}

export function workerTable(context: CommandContext, workers: readonly WorkerRow[]): string {
  const columns = [{ title: 'WORKER' }, { title: 'HOST' }, { title: 'STATE' }, { title: 'LAST SEEN' }, { title: 'OUT' }]
  const rows = workers.map(({ id, host, state, alive, heartbeatAt, detail }) => [
    id,
    host,
    alive ? state : 'dead',
    humanTime(heartbeatAt),
    outIn(detail),
  ])
  return table(columns, rows, (padded, cell, column) =>
    column === 2 && cell === 'dead' ? context.print.paint('bad', padded) : padded,
  )
}

/** The dependencies that the process waits for or does without, and why. */
function outIn(detail: unknown): string {
  const hsm = typeof detail === 'object' && detail !== null && 'hsm' in detail ? detail.hsm : undefined
  return [...breakersIn(detail), ...(typeof hsm !== 'string' || hsm === 'ready' ? [] : [`hsm: ${hsm}`])].join(', ')
}

function breakersIn(detail: unknown): readonly string[] {
  const breakers = typeof detail === 'object' && detail !== null && 'breakers' in detail ? detail.breakers : undefined
  if (typeof breakers !== 'object' || breakers === null) return []
  return Object.entries(breakers).map(([dependency, code]) => `${dependency}: ${String(code)}`)
}

/** When each task of maintenance was last done, how it went, and who is at it now. */
export function maintenanceTable(context: CommandContext, tasks: readonly MaintenanceTaskRow[]): string {
  const columns = [{ title: 'MAINTENANCE' }, { title: 'LAST ENDED' }, { title: 'OUTCOME' }, { title: 'NOW' }]
  const rows = tasks.map(({ name, finishedAt, outcome, owner }) => [
    name,
    finishedAt === null ? 'never' : humanTime(finishedAt),
    outcome ?? '',
    owner === null ? '' : `done by ${owner}`,
  ])
  return table(columns, rows, (padded, cell, column) =>
    column === 2 && cell !== '' && cell !== 'done' ? context.print.paint('bad', padded) : padded,
  )
}

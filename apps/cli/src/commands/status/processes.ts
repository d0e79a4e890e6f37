import { listWorkers, type MaintenanceTaskRow, type WorkerRow } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import type { CommandContext } from '../../context.js'
import { table } from '../../output/table.js'
import { humanTime } from '../../output/units.js'

/** A worker that has ended properly is not shown; one that fell silent is shown for an hour. */
export function isOfInterest({ state, alive, expiresAt }: WorkerRow): boolean {
  return alive || (state !== 'STOPPED' && Date.now() - expiresAt.getTime() < 3_600_000)
}

/** Maintenance has a row among the workers and takes no jobs. */
export function takesJobs({ detail }: Pick<WorkerRow, 'detail'>): boolean {
  return !['maintenance', 'gateway'].includes(String(fieldOf(detail, 'program')))
}

/** Ready, and no breaker keeps it from taking jobs. A missing folder holds back only the jobs of its root. */
export function isTaking(worker: WorkerRow): boolean {
  return takesJobs(worker) && worker.alive && worker.state === 'READY' && !isWaiting(worker)
}

function isWaiting(worker: WorkerRow): boolean {
  return openBreakers(worker).some(({ dependency }) => dependency !== 'roots')
}

/** Why no worker takes jobs now; undefined when one does. */
export async function whyNoWorkerTakes(records: Records): Promise<string | undefined> {
  const workers = (await listWorkers(records)).filter((worker) => worker.alive && takesJobs(worker))
  if (workers.length === 0) return 'no worker is running'
  if (workers.some(isTaking)) return undefined
  const out = new Set(workers.flatMap(openBreakers).map(({ dependency, code }) => `${dependency} (${code})`))
  return out.size === 0 ? 'no worker is ready' : `every worker waits for ${[...out].join(', ')}`
}

export interface OpenBreakerOf {
  readonly worker: string
  readonly dependency: string
  readonly code: string
  /** Since when it is out; null: not reported. */
  readonly since: Date | null
  /** When the worker probes it next; null: not reported. */
  readonly nextProbe: Date | null
}

/** What a process waits for, by its latest heartbeat. */
export function openBreakers({ id, detail }: Pick<WorkerRow, 'id' | 'detail'>): readonly OpenBreakerOf[] {
  const breakers = fieldOf(detail, 'breakers')
  if (typeof breakers !== 'object' || breakers === null) return []
  return Object.entries(breakers).map(([dependency, code]) => {
    const since = timeOf(fieldOf(detail, 'since'), dependency)
    const nextProbe = timeOf(fieldOf(detail, 'probes'), dependency)
    return { worker: id, dependency, code: String(code), since, nextProbe }
  })
}

/** Live workers that take jobs of a queue, by their heartbeats; older versions name no queue and take files. */
export function workersOf(workers: readonly WorkerRow[], queue: string): number {
  const takes = ({ detail }: WorkerRow): boolean => {
    const queues = fieldOf(detail, 'queues')
    return (Array.isArray(queues) ? queues : ['ingest']).includes(queue)
  }
  return workers.filter((worker) => worker.alive && worker.state !== 'STOPPED' && takesJobs(worker) && takes(worker))
    .length
}

function timeOf(times: unknown, name: string): Date | null {
  const at = fieldOf(times, name)
  return typeof at === 'string' && !Number.isNaN(Date.parse(at)) ? new Date(at) : null
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}

export function workerTable(context: CommandContext, workers: readonly WorkerRow[]): string {
  const columns = [{ title: 'WORKER' }, { title: 'HOST' }, { title: 'STATE' }, { title: 'LAST SEEN' }, { title: 'OUT' }]
  const rows = workers.map((worker) => [
    worker.id,
    worker.host,
    stateOf(worker),
    humanTime(worker.heartbeatAt),
    outIn(worker),
  ])
  return table(columns, rows, (padded, cell, column) =>
    column === 2 && (cell === 'dead' || cell === 'WAITING') ? context.print.paint('bad', padded) : padded,
  )
}

function stateOf(worker: WorkerRow): string {
  if (!worker.alive) return 'dead'
  const state = worker.state === 'READY' && isWaiting(worker) ? 'WAITING' : worker.state
  return takesJobs(worker) ? state : `${state} (maintenance)`
}

/** The dependencies that the process waits for or does without: why, since when, and when it probes next. */
function outIn(worker: WorkerRow): string {
  const hsm = fieldOf(worker.detail, 'hsm')
  const open = openBreakers(worker).map(({ dependency, code, since, nextProbe }) => {
    const next = nextProbe === null ? '' : `, next probe ${humanTime(nextProbe)}`
    return `${dependency}: ${code}${sinceText(since)}${next}`
  })
  const hsmSince = sinceText(timeOf(fieldOf(worker.detail, 'since'), 'hsm'))
  return [...open, ...(typeof hsm !== 'string' || hsm === 'ready' ? [] : [`hsm: ${hsm}${hsmSince}`])].join('; ')
}

function sinceText(since: Date | null): string {
  return since === null ? '' : ` since ${humanTime(since)}`
}

/** When each task of maintenance last ran, its outcome, and which process runs it now. */
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

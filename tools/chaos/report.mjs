/** The results of a chaos run: figures for people, and the same as JSON. */
import { LEASE_S, STALL_MS } from './world.mjs'

/**
 * @param {{ seed: string, minutes: number, kinds: Map<string, { struck: number, missed: number, failed: string[] }>,
 *   deaths: ReadonlyMap<string, Date>, complaints: string[], deadByCode: Record<string, number>, recovered: number[],
 *   objects: number, restored: number, accepted: number, lost: number, status: unknown, attempts: number, starts: number,
 *   producerRetries: number, keystream: { compared: number } }} run
 */
export function makeReport({ kinds, deaths, recovered, keystream, ...run }) {
  const at = (/** @type {number} */ share) =>
    recovered[Math.min(recovered.length - 1, Math.floor(recovered.length * share))]
  return {
    ...run,
    faults: Object.fromEntries(
      [...kinds].map(([kind, { struck, missed, failed }]) => [kind, { struck, missed, failed: failed.length }]),
    ),
    struck: [...kinds.values()].reduce((sum, { struck }) => sum + struck, 0),
    workersKilled: deaths.size,
    recovery: {
      files: recovered.length,
      medianMs: at(0.5),
      p95Ms: at(0.95),
      maxMs: recovered.at(-1),
      leaseMs: LEASE_S * 1000,
      stallIntervalMs: STALL_MS,
    },
    keystreamBlocksCompared: keystream.compared,
  }
}

/** @param {ReturnType<typeof makeReport>} report */
export function printReport(report) {
  const { recovery } = report
  const lines = [
    '',
    `seed ${report.seed}, ${report.minutes} min`,
    `files: ${report.accepted} accepted, ${report.accepted - report.lost} stored, ${report.lost} lost; ${report.restored} restored and compared`,
    `attempts: ${report.attempts}; objects in the store: ${report.objects}; worker processes: ${report.starts}, of which ${report.workersKilled} were killed`,
    `faults that struck: ${report.struck}`,
    ...Object.entries(report.faults)
      .sort()
      .map(
        ([kind, { struck, missed, failed }]) =>
          `  ${kind.padEnd(32)} ${String(struck).padStart(4)}${missed + failed > 0 ? `  (${missed + failed} times nothing to strike)` : ''}`,
      ),
    `dead letters before on-call's repair: ${
      Object.entries(report.deadByCode)
        .map(([code, n]) => `${code} ${n}`)
        .join(', ') || 'none'
    }`,
    `from a worker's death to the file's being stored by another: ${recovery.files} files, median ${recovery.medianMs} ms, p95 ${recovery.p95Ms} ms, max ${recovery.maxMs} ms (lease ${recovery.leaseMs} ms + stall interval ${recovery.stallIntervalMs} ms)`,
    `keystream: ${report.keystreamBlocksCompared} blocks compared`,
    report.complaints.length === 0 ? 'every check held' : `NOT AS PROMISED:\n  ${report.complaints.join('\n  ')}`,
  ]
  console.log(lines.join('\n'))
}

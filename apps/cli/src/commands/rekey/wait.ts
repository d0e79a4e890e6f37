import { setTimeout as delay } from 'node:timers/promises'
import { getRekeyRun, rekeyCounts, type RekeyCounts, type RekeyRun } from '@sealfleet/records/rekey'
import type { Records } from '@sealfleet/records'
import type { CommandContext } from '../../context.js'
import { createProgress } from '../../output/progress.js'
import { endedOf, runReport, type RunReport } from './report.js'

/** Interval between two polls, milliseconds; longer when counting very many items takes longer. */
const LOOK_MS = 500

/** Waits until the run is over or paused, and shows progress. Throws the signal's reason when stopped. */
export async function waitForRun(
  context: CommandContext,
  records: Records,
  run: RekeyRun,
  scope: { readonly files: number; readonly bytes: number },
): Promise<RunReport> {
  let shown = await rekeyCounts(records, run.id)
  const items = scope.files + endedOf(shown)
  const totalBytes = scope.bytes + shown.doneBytes
  const progress = createProgress(context.io, { noun: 'files', items, totalBytes, quiet: context.print.json })
  const show = (counts: RekeyCounts, bytes: number, files: number): void => {
    for (let i = 1; i <= files; i++)
      progress.finish('files', i === 1 ? bytes : 0, `${endedOf(counts) - files + i} of ${items} files`)
  }
  try {
    show(shown, shown.doneBytes, endedOf(shown))
    for (;;) {
      const now = await getRekeyRun(records, run.id)
      const began = performance.now()
      const counts = await rekeyCounts(records, run.id)
      show(counts, counts.doneBytes - shown.doneBytes, endedOf(counts) - endedOf(shown))
      shown = counts
      if (now.state !== 'ACTIVE') return await runReport(records, now)
      await delay(Math.max(LOOK_MS, performance.now() - began), undefined, { signal: context.signal })
    }
  } finally {
    progress.stop()
  }
}

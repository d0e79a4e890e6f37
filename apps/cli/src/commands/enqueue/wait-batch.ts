import { classify } from '@sealfleet/failures'
import { batchProgress, type BatchProgress } from '@sealfleet/records/files'
import type { Records } from '@sealfleet/records'
import { setTimeout as delay } from 'node:timers/promises'
import { missingError } from '../../cli-error.js'
import type { CommandContext } from '../../context.js'
import { statusOfCode } from '../../describe-error.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import { Pace } from '../../output/pace.js'
import { printable } from '../../output/printable.js'
import { createStatusLine } from '../../output/status-line.js'
import { count, humanSize } from '../../output/units.js'
import { Outages, POSTGRES_OUT } from './outages.js'

/** Interval between two polls, milliseconds; a poll may take one twentieth of the time. */
const LOOK_MS = 250
const LONGEST_LOOK_MS = 2_000
const LOOK_SHARE = 20

/** A batch has ended when as many files as were announced are accepted, at least one, and each has come to its end. */
export function hasEnded({ batch, accepted, finished }: BatchProgress): boolean {
  return accepted >= Math.max(1, batch.expected ?? 1) && finished === accepted
}

/** The exit status for the files of a batch, the same as of `enqueue --wait`. */
export function statusOfBatch({ byState, deadByCode }: BatchProgress): ExitStatus {
  const gone = byState.DISCARDED + byState.DELETED > 0
  return combineStatuses([...Object.keys(deadByCode).map(statusOfCode), ...(gone ? [EXIT.failed] : [])])
}

/**
 * Waits until a batch has ended, in memory that does not grow with it, and shows progress. Outages are waited through
 * and reported.
 * @throws NOT_FOUND, the signal's reason
 */
export async function waitForBatch(
  context: CommandContext,
  records: Records,
  { id, given }: { readonly id: string; readonly given: string },
): Promise<BatchProgress> {
  const { signal } = context
  const line = createStatusLine(context.io, { quiet: context.print.json })
  const outages = new Outages(records, (text) => line.note(text))
  using watch = outages.watch()
  void watch
  let pace: Pace | undefined
  let lacking = false
  try {
    for (let pause = LOOK_MS; ; pause = Math.min(pause * 2, LONGEST_LOOK_MS)) {
      signal.throwIfAborted()
      const began = performance.now()
      const progress = await look(records, id, outages, signal)
      if (progress === 'gone') throw missingError('NOT_FOUND', `there is no batch ${printable(given)}`)
      if (progress !== 'unknown') {
        if (hasEnded(progress)) return progress
        const { accepted, finished, batch, storedPlaintextBytes } = progress
        const total = Math.max(accepted, batch.expected ?? 0)
        pace ??= new Pace(total, { unit: 'files', done: finished })
        line.show(
          `${finished}/${total} files, ${humanSize(storedPlaintextBytes)} stored, ${pace.text(finished, total)}`,
        )
        if (!lacking && finished === accepted) line.note(whatLacks(progress))
        lacking ||= finished === accepted
      }
      await delay(Math.max(pause, (performance.now() - began) * LOOK_SHARE), undefined, { signal }).catch(
        () => undefined,
      )
    }
  } finally {
    line.stop()
  }
}

async function look(
  records: Records,
  id: string,
  outages: Outages,
  signal: AbortSignal,
): Promise<BatchProgress | 'gone' | 'unknown'> {
  try {
    const progress = await batchProgress(records, id)
    outages.end(POSTGRES_OUT)
    return progress ?? 'gone'
  } catch (error) {
    signal.throwIfAborted()
    if (classify(error, { during: 'database' }).failure.class !== 'transient-infrastructure') throw error
    outages.begin(POSTGRES_OUT)
    return 'unknown'
  }
}

function whatLacks({ batch, accepted }: BatchProgress): string {
  if (batch.expected === null) return 'no file of the batch has been accepted yet; waiting for the first'
  return `${accepted} of ${count(batch.expected, 'announced file')} are accepted; waiting for the rest`
}

import { lstat } from 'node:fs/promises'
import path from 'node:path'
import type { CommandContext } from '../context.js'
import { describeError, type ErrorReport } from '../describe-error.js'
import { EXIT } from '../exit-status.js'
import { OutputFile } from '../files/output-file.js'
import { prepareBelow } from '../files/safe-path.js'
import type { Progress } from '../output/progress.js'
import { printable } from '../output/printable.js'
import { humanSize } from '../output/units.js'
import { openReading } from '../services/reading.js'
import { sideBySide } from '../services/side-by-side.js'
import type { SelectedFile } from '../services/selection.js'
import type { Library } from '../services/stored.js'

/** What became of one file. */
export interface RestoreOutcome {
  readonly file: SelectedFile
  readonly outcome: 'restored' | 'exists' | 'failed'
  readonly output: string
  readonly error?: ErrorReport
}

export interface ManyOptions {
  /** absolute */
  readonly folder: string
  readonly force: boolean
  readonly skipExisting: boolean
  readonly onOutcome: (outcome: RestoreOutcome) => Promise<void>
}

/** Files at once: each holds an HSM session for a moment and one segment in memory. */
const WIDTH = 8

/**
 * Restores files below a folder under their original relative paths. One file's failure doesn't stop the others, unless
 * a dependency is out of reach: then nothing new begins.
 */
export async function restoreMany(
  context: CommandContext,
  library: Library,
  files: readonly SelectedFile[],
  progress: Progress,
  o: ManyOptions,
): Promise<readonly RestoreOutcome[]> {
  const outcomes: RestoreOutcome[] = []
  await sideBySide(files, WIDTH, async (file) => {
    const outcome = await restoreOne(context, library, file, progress, o)
    outcomes.push(outcome)
    const how = outcome.error === undefined ? outcome.outcome : `failed (${outcome.error.code})`
    progress.finish(file.path, file.size, `${how}  ${printable(file.path)}  ${humanSize(file.size)}`)
    await o.onOutcome(outcome)
    context.signal.throwIfAborted()
    return outcome.error?.exitStatus !== EXIT.unreachable
  })
  return outcomes
}

async function restoreOne(
  context: CommandContext,
  library: Library,
  file: SelectedFile,
  progress: Progress,
  o: ManyOptions,
): Promise<RestoreOutcome> {
  const output = path.join(o.folder, file.path)
  try {
    const final = await prepareBelow(o.folder, file.path)
    if (o.skipExisting && (await exists(final))) return { file, output, outcome: 'exists' }
    // Before anything is read: an output that is in the way must not cost a download.
    await using target = await OutputFile.create(final, { force: o.force })
    using reading = await openReading(library, file.fileId)
    let done = 0
    for await (const plaintext of reading.readAll(context.signal)) {
      await target.write(plaintext)
      done += plaintext.length
      plaintext.fill(0)
      progress.update(file.path, done, file.size)
    }
    context.signal.throwIfAborted()
    await target.commit()
    return { file, output, outcome: 'restored' }
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason
    return { file, output, outcome: 'failed', error: describeError(error, 'output') }
  }
}

async function exists(final: string): Promise<boolean> {
  try {
    await lstat(final)
    return true
  } catch {
    return false // whatever is wrong with it, creating the file says so
  }
}

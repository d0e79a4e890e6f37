import { lstat } from 'node:fs/promises'
import path from 'node:path'
import type { CommandContext } from '../../context.js'
import { describeError, type ErrorReport } from '../../describe-error.js'
import { EXIT } from '../../exit-status.js'
import type { OpenFolder } from '../../files/open-folder.js'
import { whyAllFail } from '../../files/output-error.js'
import { OutputFile } from '../../files/output-file.js'
import { writePlaintext } from '../../files/write-plaintext.js'
import { placeBelow, type PlaceBelow } from '../../files/safe-path.js'
import type { Progress } from '../../output/progress.js'
import { printable } from '../../output/printable.js'
import { humanSize } from '../../output/units.js'
import { openObjectReader } from '@sealfleet/objects'
import { forEachConcurrent } from '@sealfleet/runtime'
import type { SelectedFile } from '../../input/selection.js'
import type { FileStore } from '../../services/stored.js'

/** The outcome of one file. */
export interface RestoreOutcome {
  readonly file: SelectedFile
  readonly outcome: 'restored' | 'exists' | 'failed'
  readonly output: string
  readonly error?: ErrorReport
}

export interface ManyOptions {
  readonly folder: OpenFolder
  /** maps a stored path to the path below the folder */
  readonly pathOf: (stored: string) => string
  readonly force: boolean
  readonly skipExisting: boolean
  readonly onOutcome: (outcome: RestoreOutcome) => Promise<void>
}

/** Files restored at a time: each holds an HSM session for a moment and a few segments in memory. */
const WIDTH = 8

/** How a run ended. */
export interface ManyRestored {
  readonly outcomes: readonly RestoreOutcome[]
  /** why the run stopped early: every other file would fail for the same reason */
  readonly stopped: string | undefined
}

/**
 * Restores files below a folder under their original relative paths. One file's failure doesn't stop the others, unless
 * a dependency is out of reach or nothing more can be written: then no other file is started. At a full disk files in
 * progress are abandoned, too, so that one failure is reported and not one for each.
 */
export async function restoreMany(
  context: CommandContext,
  library: FileStore,
  files: readonly SelectedFile[],
  progress: Progress,
  o: ManyOptions,
): Promise<ManyRestored> {
  const outcomes: RestoreOutcome[] = []
  let stopped: string | undefined
  const giveUp = new AbortController()
  const signal = AbortSignal.any([context.signal, giveUp.signal])
  await forEachConcurrent(files, WIDTH, async (file) => {
    const { outcome, reason } = await restoreOne(library, file, progress, o, signal)
    context.signal.throwIfAborted()
    // Abandoned because another file failed: counts as not tried.
    if (outcome === undefined || (stopped !== undefined && outcome.error !== undefined)) return false
    if (reason !== undefined) giveUp.abort()
    if (outcome.error?.exitStatus === EXIT.unreachable) stopped ??= 'a dependency is out of reach'
    stopped ??= reason
    outcomes.push(outcome)
    const how = outcome.error === undefined ? outcome.outcome : `failed (${outcome.error.code})`
    progress.finish(file.path, file.size, `${how}  ${printable(file.path)}  ${humanSize(file.size)}`)
    await o.onOutcome(outcome)
    return stopped === undefined
  })
  return { outcomes, stopped }
}

interface OneRestored {
  readonly outcome?: RestoreOutcome
  /** why every other file would fail, too */
  readonly reason?: string | undefined
}

async function restoreOne(
  library: FileStore,
  file: SelectedFile,
  progress: Progress,
  o: ManyOptions,
  signal: AbortSignal,
): Promise<OneRestored> {
  const relative = o.pathOf(file.path)
  const output = path.join(o.folder.path, relative)
  try {
    await using place = await placeBelow(o.folder, relative)
    if (o.skipExisting && (await exists(place))) return { outcome: { file, output, outcome: 'exists' } }
    // Checked first, so that an existing output costs no download.
    await using target = await OutputFile.createIn(place.folder, place.name, { force: o.force })
    using reading = await openObjectReader(library, file.fileId)
    const onBytes = (done: number): void => progress.update(file.path, done, file.size)
    await writePlaintext(target, (allocate) => reading.readAll({ signal, allocate }), onBytes)
    signal.throwIfAborted()
    await target.commit()
    return { outcome: { file, output, outcome: 'restored' } }
  } catch (error) {
    if (signal.aborted) return {}
    const outcome = { file, output, outcome: 'failed', error: describeError(error, 'output') } as const
    return { outcome, reason: whyAllFail(error) ?? (await whyFolderFails(o.folder)) }
  }
}

async function whyFolderFails(folder: OpenFolder): Promise<string | undefined> {
  return (await folder.isInPlace()) ? undefined : 'the output folder was moved or replaced'
}

async function exists({ folder, name }: PlaceBelow): Promise<boolean> {
  try {
    await lstat(folder.at(name))
    return true
  } catch {
    return false // whatever is wrong with it, creating the file says so
  }
}

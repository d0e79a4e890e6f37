import { explainCode, statusOfCode } from '../../describe-error.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import type { Skipped } from '../../files/expand.js'
import { printable } from '../../output/printable.js'
import type { Printer } from '../../output/printer.js'
import { count, humanSize } from '../../output/units.js'
import { filesTable, isGood, LIST_AT_MOST, type FileReport } from './report.js'

/** An entry of a list that gave no file to enqueue. */
export interface Refused {
  readonly path: string
  readonly error: { readonly code: string; readonly message: string; readonly fix?: string }
  readonly exitStatus: ExitStatus
}

/** The outcomes of very many files in constant memory: counts, and the first of each kind to show. */
export class Tally {
  files = 0
  bytes = 0
  refused = 0
  skipped = 0
  readonly byOutcome: Record<string, number> = {}
  readonly #statuses = new Set<ExitStatus>()
  readonly #codes = new Set<string>()
  readonly #first: FileReport[] = []
  readonly #failed: FileReport[] = []
  readonly #refused: Refused[] = []
  readonly #skipped: Skipped[] = []

  add(report: FileReport): void {
    const { outcome, code, size } = report
    this.files += 1
    this.bytes += size
    this.byOutcome[outcome] = (this.byOutcome[outcome] ?? 0) + 1
    if (this.#first.length < LIST_AT_MOST) this.#first.push(report)
    if (isGood(outcome)) return
    this.#statuses.add(code === undefined ? EXIT.failed : statusOfCode(code))
    this.#codes.add(code ?? outcome.toUpperCase())
    if (this.#failed.length < LIST_AT_MOST) this.#failed.push(report)
  }

  refuse(one: Refused): void {
    this.refused += 1
    this.#statuses.add(one.exitStatus)
    if (this.#refused.length < LIST_AT_MOST) this.#refused.push(one)
  }

  skip(one: Skipped): void {
    this.skipped += 1
    if (this.#skipped.length < LIST_AT_MOST) this.#skipped.push(one)
  }

  get status(): ExitStatus {
    return combineStatuses([...this.#statuses])
  }

  get summary(): Pick<Tally, 'files' | 'bytes' | 'byOutcome' | 'refused' | 'skipped'> {
    const { files, bytes, byOutcome, refused, skipped } = this
    return { files, bytes, byOutcome, refused, skipped }
  }

  async print(print: Printer): Promise<void> {
    const shown = this.files <= LIST_AT_MOST ? this.#first : this.#failed
    if (shown.length > 0) await print.text(filesTable(print, shown))
    const outcomes = Object.entries(this.byOutcome).map(([outcome, n]) => `${n} ${outcome}`)
    if (this.refused > 0) outcomes.push(`${this.refused} entries of the list not enqueued`)
    await print.text(`${count(this.files, 'file')}, ${humanSize(this.bytes)}: ${outcomes.join(', ')}`)
    for (const { code, message, fix } of [...this.#codes].map(explainCode))
      await print.note(`${code}: ${message}\n  fix: ${fix}`)
    for (const { error } of this.#refused) await print.note(`${error.code}: ${error.message}`)
    for (const fix of new Set(this.#refused.map(({ error }) => error.fix))) if (fix) await print.note(`  fix: ${fix}`)
    if (this.refused > this.#refused.length) await print.note(`and ${this.refused - this.#refused.length} more`)
    for (const { shown: path, reason } of this.#skipped) await print.note(`skipped ${printable(path)}: ${reason}`)
    if (this.skipped > this.#skipped.length) await print.note(`skipped ${this.skipped - this.#skipped.length} more`)
  }
}

import type { CommandContext } from '../../context.js'
import { pairs, table } from '../../output/table.js'
import { count, humanSize } from '../../output/units.js'
import type { FileOutcome } from './file.js'
import type { Destroyed, Unproven } from './destructions.js'
import type { DomainPlan, KeyRefused } from './keys.js'
import type { RecoveryReport } from './terms.js'

export interface KeyOutcome {
  readonly domains: readonly DomainPlan[]
  readonly refused: readonly KeyRefused[]
  readonly destroyed: readonly Destroyed[]
  readonly unproven: readonly Unproven[]
  /** Keys of the token that are trusted, by label. */
  readonly labels: ReadonlySet<string>
}

/** Text shows this many objects that could not be placed; JSON has all lines. */
const SHOWN = 100

/** One JSON line about one file. */
export function reportJson({ fileId, outcome, attempt, claim, unplaced }: FileOutcome) {
  const won = attempt === undefined ? {} : { attemptId: attempt.attemptId, attemptNo: attempt.attemptNo }
  const named = claim === undefined ? {} : { source: claim.source ?? null, sourceRefused: claim.refused ?? null }
  return { fileId: fileId ?? null, outcome, ...won, ...named, unplaced }
}

/** The end of a run: what was recovered, what was not and why, and what is lost. */
export async function printRecovery(
  context: CommandContext,
  report: RecoveryReport,
  { domains, refused, destroyed, unproven }: Omit<KeyOutcome, 'labels'>,
  o: { readonly quick: boolean; readonly dryRun: boolean; readonly complete: boolean },
): Promise<void> {
  const { domains: byDomain, unplaced, ...counts } = report
  const keys = domains.flatMap(({ keys: own }) => own.map(({ label, state }) => ({ label, state })))
  const kept = refused.map(({ label }) => label)
  const recorded = keys.filter(({ label }) => !kept.includes(label))
  const files = Object.fromEntries(byDomain)
  const gone = {
    destroyedKeys: destroyed.map(({ label, destroyedAt, row }) => ({
      label,
      destroyedAt,
      destructionId: row?.id ?? null,
      shred: row?.shred ?? null,
    })),
    unproven,
  }
  await context.print.line({
    summary: { ...counts, ...o, domains: files, keys: recorded, refusedKeys: refused, ...gone },
  })
  const would = o.dryRun ? ' (would be)' : ''
  const lines: [string, string][] = [
    [`keys recorded${would}`, String(recorded.length)],
    ['keys destroyed, by signed records', String(destroyed.length)],
    [`files recovered${would}`, `${report.recovered}${o.quick ? ', not every byte of them read (--quick)' : ''}`],
    ...[...byDomain].map(([id, own]): [string, string] => [
      `  ${id}`,
      `${count(own.files, 'file')}, ${humanSize(own.bytes)}`,
    ]),
    ['with the source that their metadata claims', String(report.named)],
    ['with a claim that is not believed', String(report.claimsRefused)],
    ['recovered before', String(report.already)],
    ['left as they are', String(report.kept)],
    ['attempts that lost', String(report.losers)],
    ['sent twice', String(report.duplicates)],
    ['under a delete marker', String(report.hidden)],
    ['no sealed objects', String(report.foreign)],
    ['not placed', String(report.unplacedTotal)],
  ]
  await context.print.text(pairs(lines))
  if (refused.length > 0) {
    const rows = refused.map(({ label, code, message }) => [label, code, message])
    await context.print.text(
      table([{ title: 'KEY REFUSED' }, { title: 'CODE' }, { title: 'WHY', sentence: true }], rows),
    )
  }
  if (unproven.length > 0) {
    const rows = unproven.map(({ storeKey, code, message }) => [storeKey, code, message])
    await context.print.text(
      table([{ title: 'NOT BELIEVED' }, { title: 'CODE' }, { title: 'WHY', sentence: true }], rows),
    )
  }
  if (unplaced.length > 0) {
    const rows = unplaced
      .slice(0, SHOWN)
      .map(({ key, version, code, message }) => [version === null ? key : `${key}@${version}`, code, message])
    await context.print.text(
      table([{ title: 'NOT PLACED' }, { title: 'CODE' }, { title: 'WHY', sentence: true }], rows),
    )
    if (report.unplacedTotal > SHOWN)
      await context.print.text(`and ${report.unplacedTotal - SHOWN} more (--json has them all)`)
  }
  if (!o.complete) await context.print.note('part of the bucket was not read: run it again to continue')
}

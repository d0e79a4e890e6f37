import type { DestructionRefused, KeyNeeds } from '@sealfleet/keys'
import type { CommandContext } from '../../../context.js'
import { describeError, type ErrorReport } from '../../../describe-error.js'
import { table } from '../../../output/table.js'

/** What needs and holds a key, as text: counts, then the first hundred. */
export function needsText({ database, store, lost, first, holds }: KeyNeeds): string {
  const lines = [
    `by the records: ${database.attempts} attempts of ${database.files} files (${database.open} under way, ${database.committed} committed, ${database.superseded} superseded)`,
    `by the store:   ${store.looked} headers read, ${store.objects} under the key, ${store.beyondRecords} of these not in the records`,
    `files lost:     ${lost}`,
    ...(store.unreadable === 0
      ? []
      : [`${store.unreadable} objects could not be checked: they are not sealed objects of a known version`]),
    ...holds.map(({ fileId, reason, placedBy }) => `hold on ${fileId ?? 'the whole domain'}: ${reason} (${placedBy})`),
  ]
  if (first.length === 0) return lines.join('\n')
  const columns = [{ title: 'FILE' }, { title: 'ATTEMPT' }, { title: 'STATE' }, { title: 'FOUND IN' }]
  const cells = first.map(({ fileId, attemptId, state, where }) => [fileId, attemptId, state, where])
  return `${lines.join('\n')}\n${table(columns, cells)}`
}

/** A refusal with its reasons: one JSON document, or the list and the sentence as text. */
export async function reportRefusal(
  context: CommandContext,
  error: DestructionRefused,
  about: Readonly<Record<string, unknown>> = {},
): Promise<ErrorReport['exitStatus']> {
  const { code, message, fix, exitStatus } = describeError(error)
  await context.print.document({ ...about, error: { code, message, fix }, ...(error.needs && { needs: error.needs }) })
  if (error.needs !== undefined) await context.print.text(needsText(error.needs))
  await context.print.note(`sealfleet: ${code}: ${message}${fix === undefined ? '' : `\n  fix: ${fix}`}`)
  return exitStatus
}

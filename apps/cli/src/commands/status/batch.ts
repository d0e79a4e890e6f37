import type { BatchProgress } from '@sealfleet/records/files'
import { pairs } from '../../output/table.js'
import { humanSize, humanTime } from '../../output/units.js'

/** The progress of a batch, as text. */
export function batchText({
  batch,
  byState,
  accepted,
  finished,
  storedPlaintextBytes,
  deadByCode,
}: BatchProgress): string {
  return pairs([
    ['batch', batch.name === null ? batch.id : `${batch.name} (${batch.id})`],
    ['made', `${humanTime(batch.createdAt)} by ${batch.createdBy}`],
    ['files', `${accepted}${batch.expected === null ? '' : ` of ${batch.expected} announced`}, ${finished} finished`],
    ['stored', `${byState.STORED}, ${humanSize(storedPlaintextBytes)}`],
    ['under way', `${byState.QUEUED} queued, ${byState.RUNNING} running`],
    ...(byState.DISCARDED + byState.DELETED === 0
      ? []
      : [['gone', `${byState.DISCARDED} discarded, ${byState.DELETED} deleted`] as const]),
    ['dead', [String(byState.DEAD), ...Object.entries(deadByCode).map(([code, n]) => `${n} ${code}`)].join(', ')],
  ])
}

import type { Retrying } from '@sealfleet/records/files'
import { table } from '../../output/table.js'
import { humanDuration, humanTime } from '../../output/units.js'

/** Files that failed and are tried again, by code: an early sign of future dead letters. */
export function retryingTable(retrying: readonly Retrying[], now = Date.now()): string {
  const columns = [
    { title: 'RETRYING' },
    { title: 'FILES', align: 'right' } as const,
    { title: 'OLDEST', align: 'right' } as const,
    { title: 'NEXT TRY' },
  ]
  const rows = retrying.map(({ code, files, oldestAt, nextTryAt }) => [
    code,
    String(files),
    humanDuration(Math.max(0, now - oldestAt.getTime())),
    nextTryAt === null ? 'now' : nextTryAt.getTime() <= now ? 'due' : humanTime(nextTryAt),
  ])
  return table(columns, rows)
}

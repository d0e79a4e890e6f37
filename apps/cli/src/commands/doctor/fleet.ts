import type { Config } from '@sealfleet/config'
import { CodedError } from '@sealfleet/failures'
import { getFleet } from '@sealfleet/records/fleet'
import type { Records } from '@sealfleet/records'
import type { CommandContext } from '../../context.js'
import { bucketMark, queuesMark, type Mark } from '../../services/fleet.js'
import { failed, ok, skipped, type CheckResult } from './check.js'

/** Queues and bucket belong to this fleet, or to none yet. A dependency out of reach has its own finding already. */
export async function checkFleet(
  context: CommandContext,
  records: Records | undefined,
  config: { readonly redis: Config<'redis'> | undefined; readonly s3: Config<'s3'> | undefined },
): Promise<readonly CheckResult[]> {
  if (records === undefined) return [skipped('fleet', 'the records are out of reach')]
  let id: string
  try {
    id = (await getFleet(records)).id
  } catch (error) {
    return [failed('fleet', error, 'database')]
  }
  const marks = await Promise.allSettled([
    ...(config.redis ? [queuesMark(context, config.redis)] : []),
    ...(config.s3 ? [bucketMark(context, config.s3)] : []),
  ])
  const seen = marks.flatMap((mark) => (mark.status === 'fulfilled' ? [mark.value] : []))
  const foreign = seen.filter(({ owner }) => owner !== undefined && owner !== id)
  if (foreign.length > 0) return foreign.map((mark) => failed('fleet', mismatch(mark, id)))
  const unmarked = seen.filter(({ owner }) => owner === undefined).map(({ where }) => where)
  return [ok('fleet', `${id}${unmarked.length === 0 ? '' : `; not marked by a fleet yet: ${unmarked.join(', ')}`}`)]
}

function mismatch({ where, owner = '' }: Mark, id: string): CodedError {
  return new CodedError('FLEET_MISMATCH', `${where}: belong to fleet ${owner}, and this database is fleet ${id}`)
}

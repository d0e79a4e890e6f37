import type { Records } from '@sealfleet/records'
import { listFailures } from '@sealfleet/records/files'

/** Attempts of one file that may end without an outcome (their worker died) before the file is dead as POISON. */
export const MAX_CRASHES = 3

/** Most worker deaths that a dead letter names. */
const MOST_DEATHS = 3

export class PoisonError extends Error {
  override readonly name = 'PoisonError'
  readonly code = 'POISON'

  /** @param deaths a line for each worker that died, as far as they are known */
  constructor(crashes: number, deaths: readonly string[] = []) {
    const which = deaths.length === 0 ? '' : ` (${deaths.join('; ')})`
    super(`${crashes} attempts at this file ended without an outcome: their workers died or stalled${which}`)
  }
}

/** The error of a file that has killed too many workers, in one generation or in all; undefined for any other. */
export async function poisonOf(
  records: Records,
  { fileId, generation, crashes }: { readonly fileId: string; readonly generation?: number; readonly crashes: number },
): Promise<PoisonError | undefined> {
  if (crashes < MAX_CRASHES) return undefined
  const deaths = (await listFailures(records, fileId))
    .filter((one) => one.code === 'WORKER_DIED' && (generation === undefined || one.generation === generation))
    .slice(-MOST_DEATHS)
    .map(({ attemptNo, message }) => `attempt ${attemptNo}: ${message}`)
  return new PoisonError(crashes, deaths)
}

import { readObjectMetadata, readObjectSource, type ObjectMetadata, type ObjectSource } from '@sealfleet/store'
import { RECOVERED_ROOT } from './terms.js'

/**
 * The source of a file as the metadata of its object claims it. The claim is not authenticated: it names a recovered
 * file for people and is compared with no request.
 */
export interface SourceClaim {
  readonly source?: ObjectSource | undefined
  /** Why a claim is not believed, as the end of a sentence. */
  readonly refused?: string | undefined
}

/**
 * The claim of the object that won. It is not believed in metadata of another object, nor when another attempt at the file
 * claims another source: attempts at one file have one.
 * @param others metadata of all attempts that were found
 */
export function claimOf(
  { metadata, ...ids }: { readonly metadata: ObjectMetadata; readonly fileId: string; readonly attemptId: string },
  others: readonly ObjectMetadata[],
): SourceClaim {
  const claim = readObjectSource(metadata)
  if (claim === undefined) return {}
  if ('refused' in claim) return claim
  const named = readObjectMetadata(metadata)
  if (named.fileId !== ids.fileId || named.attemptId !== ids.attemptId)
    return { refused: 'it is in the metadata of another object' }
  if (claim.root === RECOVERED_ROOT) return { refused: `the root ${RECOVERED_ROOT} is reserved for recovered files` }
  for (const other of others.map(readObjectSource)) {
    if (other === undefined || 'refused' in other) continue
    if (other.root !== claim.root || other.path !== claim.path)
      return { refused: 'attempts at the file name different sources' }
  }
  return { source: claim }
}

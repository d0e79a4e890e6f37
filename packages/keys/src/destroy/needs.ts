import { countKeyReferences, holdsOnKey, listKeyReferences, standingOfObjects } from '@sealfleet/records/keys'
import type { KeyRow, Queryable } from '@sealfleet/records'
import type { ObjectInfo } from '@sealfleet/format'
import type { Store } from '@sealfleet/store'

import { inBatches } from '@sealfleet/runtime'
import { storedHeaders, type StoredHeader } from '@sealfleet/objects'
import { DistinctIds } from './distinct-ids.js'
import { DestructionRefused, MOST_NEEDS, type KeyNeeds, type KeyNeed, type StoreNeeds } from './terms.js'

const BATCH = 500

export interface ScanOptions {
  readonly signal?: AbortSignal | undefined
  /** Called at intervals with the number of headers read. */
  readonly onProgress?: ((looked: number) => void) | undefined
  /** Ids of lost files held in memory while they are counted; more go to a temporary file. */
  readonly idsInMemory?: number | undefined
}

type Found = Extract<StoredHeader, { readonly info: ObjectInfo }>

/**
 * Reads every header in the store for one key: records restored to an older day would not show files sealed since. A
 * header may still name a KEK that a rewrap has replaced: then the records are trusted.
 * @throws StoreError, RecordsError, the signal's reason
 */
export async function storeNeeds(
  { records, store }: { readonly records: Queryable; readonly store: Store },
  key: KeyRow,
  { signal, onProgress, idsInMemory }: ScanOptions = {},
): Promise<StoreNeeds> {
  let [looked, unreadable, objects, beyondRecords] = [0, 0, 0, 0]
  const first: KeyNeed[] = []
  await using lost = new DistinctIds(idsInMemory)
  const underKey = async function* (): AsyncGenerator<Found> {
    for await (const one of storedHeaders(store, { signal })) {
      looked++
      onProgress?.(looked)
      if ('code' in one) unreadable++
      else if (names(one.info, key)) yield one
    }
  }
  for await (const batch of inBatches(underKey(), BATCH)) {
    objects += batch.length
    const standing = await standingOfObjects(
      records,
      key.id,
      batch.map(({ info }) => info),
    )
    for (const { entry, info } of batch) {
      const known = standing.get(info.attemptId)
      if (known?.counted === true || known?.independent === true) continue
      beyondRecords++
      if (known?.keptElsewhere !== true && known?.fileCounted !== true) await lost.add(info.fileId)
      if (first.length >= MOST_NEEDS) continue
      const state = known === undefined ? 'unknown' : known.keptElsewhere ? 'elsewhere' : 'left behind'
      first.push({ where: 'store', fileId: info.fileId, attemptId: info.attemptId, state, objectKey: entry.key })
    }
  }
  return { looked, unreadable, objects, beyondRecords, lost: await lost.count(), first }
}

/** The uses and holds of a key, by the present records and the store as it was read. */
export async function keyNeeds(db: Queryable, key: KeyRow, store: StoreNeeds): Promise<KeyNeeds> {
  const database = await countKeyReferences(db, key.id)
  const listed = database.attempts === 0 ? [] : await listKeyReferences(db, key.id, MOST_NEEDS)
  const first = [...listed.map((one): KeyNeed => ({ where: 'database', ...one })), ...store.first].slice(0, MOST_NEEDS)
  return { database, store, lost: database.lost + store.lost, first, holds: await holdsOnKey(db, key.id) }
}

/**
 * Throws DestructionRefused HELD or STILL_REFERENCED when the key may not be destroyed now.
 * @param shred the signed number of files that may be lost; null: no file may need the key
 */
export function assertNotNeeded(key: KeyRow, needs: KeyNeeds, shred: number | null): void {
  const [hold] = needs.holds
  if (hold !== undefined) {
    const covers = hold.fileId === null ? `domain ${key.domain}` : `file ${hold.fileId}`
    const more = needs.holds.length === 1 ? '' : ` (and ${needs.holds.length - 1} more)`
    throw new DestructionRefused('HELD', `${key.label} cannot go: a hold is on ${covers}: ${hold.reason}${more}`, {
      fix: 'anyone who placed the hold decides: see `sealfleet holds list`',
      needs,
    })
  }
  if (shred === null && needs.database.attempts + needs.store.beyondRecords > 0) {
    const { attempts, files } = needs.database
    const message = `${key.label} is still needed: ${attempts} attempts of ${files} files by the records, ${needs.store.beyondRecords} more objects by their headers in the store`
    throw new DestructionRefused('STILL_REFERENCED', message, { fix: waysOut(key, needs), needs })
  }
  if (shred !== null && needs.lost > shred) {
    const message = `destroying ${key.label} would lose ${needs.lost} files, and ${shred} were signed for`
    throw new DestructionRefused('STILL_REFERENCED', message, {
      fix: 'make a new request: it will name the present number',
      needs,
    })
  }
}

function waysOut(key: KeyRow, { database: { attempts, superseded }, store }: KeyNeeds): string {
  const grace =
    'objects that were sealed again go by `sealfleet maintenance run sweep`, or with maintenance, SEALFLEET_SUPERSEDED_GRACE_SECONDS after that'
  if (attempts > 0 && attempts === superseded && store.beyondRecords === 0) return `wait: ${grace}`
  const away =
    key.role === 'kek'
      ? 'wrap the nonces again (`sealfleet rewrap`)'
      : `seal the files again (\`sealfleet rekey --domain ${key.domain} --from ${key.version}\`) or let their retention delete them`
  return `${away}; ${grace}; or give the files up with --shred`
}

function names(info: ObjectInfo, { role, domain, version }: KeyRow): boolean {
  if (info.keyDomain !== domain) return false
  const named = role === 'enc' ? info.encKeyVersion : role === 'sig' ? info.sigKeyVersion : info.kekVersion
  return named === version
}

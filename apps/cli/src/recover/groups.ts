import { parseObjectKey, type StoredHeader } from '@sealfleet/maintenance'

/** What lies side by side below one `<domain>/<file id>/`: the attempts at one file. */
export interface Group {
  /** Of the keys; undefined where they are of other making. */
  readonly fileId: string | undefined
  readonly found: readonly StoredHeader[]
}

/**
 * Puts together what stands together in a listing, which is in the order of keys: all attempts of a file are below one
 * prefix, and all versions of one key follow each other.
 */
export async function* groupByFile(headers: AsyncIterable<StoredHeader>): AsyncGenerator<Group> {
  let place: string | undefined
  let found: StoredHeader[] = []
  for await (const header of headers) {
    const { key } = header.entry
    const here = key.slice(0, key.lastIndexOf('/') + 1)
    // What is no key of ours stands alone, however much of it there is.
    if (found.length > 0 && (here !== place || parseObjectKey(key) === undefined)) {
      yield groupOf(found)
      found = []
    }
    place = here
    found.push(header)
  }
  if (found.length > 0) yield groupOf(found)
}

function groupOf(found: readonly StoredHeader[]): Group {
  return { fileId: parseObjectKey(found[0]?.entry.key ?? '')?.fileId, found }
}

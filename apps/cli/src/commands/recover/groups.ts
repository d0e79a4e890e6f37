import { parseObjectKey, type StoredHeader } from '@sealfleet/objects'

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
  let found: StoredHeader[] = []
  for await (const header of headers) {
    const [first] = found
    if (first !== undefined && !standTogether(first.entry.key, header.entry.key)) {
      yield groupOf(found)
      found = []
    }
    found.push(header)
  }
  if (found.length > 0) yield groupOf(found)
}

/** Whether two keys that follow each other are of one file. What is no key of ours stands alone, however much of it there is. */
export function standTogether(a: string, b: string): boolean {
  const place = (key: string): string => key.slice(0, key.lastIndexOf('/') + 1)
  return place(a) === place(b) && parseObjectKey(a) !== undefined && parseObjectKey(b) !== undefined
}

function groupOf(found: readonly StoredHeader[]): Group {
  return { fileId: parseObjectKey(found[0]?.entry.key ?? '')?.fileId, found }
}

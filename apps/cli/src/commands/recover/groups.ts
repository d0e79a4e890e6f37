import { parseObjectKey, type StoredHeader } from '@sealfleet/objects'

/** The objects below one `<domain>/<file id>/`: the attempts at one file. */
export interface Group {
  /** From the object keys; undefined for foreign keys. */
  readonly fileId: string | undefined
  readonly found: readonly StoredHeader[]
}

/**
 * Groups a listing, which is in the order of keys: all attempts of a file are below one prefix, and all versions of one
 * key follow each other.
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

/** Whether two consecutive keys are of one file. Each foreign key forms its own group. */
export function standTogether(a: string, b: string): boolean {
  const place = (key: string): string => key.slice(0, key.lastIndexOf('/') + 1)
  return place(a) === place(b) && parseObjectKey(a) !== undefined && parseObjectKey(b) !== undefined
}

function groupOf(found: readonly StoredHeader[]): Group {
  return { fileId: parseObjectKey(found[0]?.entry.key ?? '')?.fileId, found }
}

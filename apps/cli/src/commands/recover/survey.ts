import { storedHeaders } from '@sealfleet/objects'
import type { Store } from '@sealfleet/store'
import { standTogether } from './groups.js'

/** What the headers of a bucket show about a domain; none of it is authenticated. */
export interface SurveyedDomain {
  objects: number
  /** Of the newest header. */
  newest: { readonly createdMs: number; readonly nonceMode: 'inline' | 'detached'; readonly segLog2: number }
}

export interface Survey {
  readonly objects: number
  /** Groups, as groupByFile makes them. */
  readonly groups: number
  readonly bytes: number
  readonly domains: ReadonlyMap<string, SurveyedDomain>
}

/**
 * Reads every header once, 320 bytes an object: the amount of work, and how each domain sealed last. Memory does not
 * grow with the number of objects. @throws StoreError, the signal's reason
 */
export async function survey(
  store: Store,
  o: { readonly prefix: string; readonly signal: AbortSignal; readonly onProgress: (looked: number) => void },
): Promise<Survey> {
  const domains = new Map<string, SurveyedDomain>()
  let objects = 0
  let groups = 0
  let before: string | undefined
  let bytes = 0
  for await (const found of storedHeaders(store, { prefix: o.prefix, signal: o.signal })) {
    objects += 1
    if (before === undefined || !standTogether(before, found.entry.key)) groups += 1
    before = found.entry.key
    bytes += found.entry.length ?? 0
    o.onProgress(objects)
    if (!('info' in found)) continue
    const { keyDomain, createdMs, nonceMode, segLog2 } = found.info
    const newest = { createdMs, nonceMode, segLog2 }
    const known = domains.get(keyDomain)
    if (known === undefined) domains.set(keyDomain, { objects: 1, newest })
    else {
      known.objects += 1
      if (createdMs > known.newest.createdMs) known.newest = newest
    }
  }
  return { objects, groups, bytes, domains }
}

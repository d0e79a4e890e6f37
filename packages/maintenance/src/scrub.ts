import {
  currentScrub,
  finishScrub,
  nextToScrub,
  recordScrubbed,
  type ScrubFinding,
  type ScrubRow,
} from '@sealfleet/records/upkeep'
import { getFile } from '@sealfleet/records/files'
import { RecordsError, type Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'
import { setTimeout } from 'node:timers/promises'

import { verifyStored, type VerifyHsm } from '@sealfleet/objects'

export interface ScrubPorts {
  readonly records: Records
  readonly store: Store
  readonly hsm: VerifyHsm
  /** The code of an error if the object or its record is at fault; undefined for an outage, which ends the run. */
  readonly faultOf: (error: unknown) => string | undefined
}

export interface ScrubOptions {
  /** Bytes of objects per second, on average; undefined: no limit. */
  readonly bytesPerSecond?: number | undefined
  readonly everyDays: number
  /** Findings listed in the pass's row; all are counted, and none twice. Default 1,000. */
  readonly mostFindings?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onObject?:
    ((pass: { readonly objects: number; readonly bytes: number; readonly finding?: ScrubFinding }) => void) | undefined
}

const PAGE = 100

/**
 * Continues the pass in progress, or begins one that is due, and verifies every stored object that the pass has not
 * read yet, those first that were verified longest ago. A run that ends early loses nothing: the next one continues.
 * Null: none is due.
 * @throws RecordsError, and the error of an outage; a fault of an object is a finding
 */
export async function scrub(ports: ScrubPorts, options: ScrubOptions): Promise<ScrubRow | null> {
  const { records } = ports
  const { signal, mostFindings } = options
  const pass = await currentScrub(records, options.everyDays)
  if (pass === undefined) return null
  const aside: string[] = []
  const pace = pacer(options.bytesPerSecond, signal)
  let objects = 0
  let bytes = 0
  for (;;) {
    const page = await nextToScrub(records, { scrubId: pass.id, startedAt: pass.startedAt, except: aside, limit: PAGE })
    if (page.length === 0) break
    for (const { fileId, attemptId } of page) {
      signal?.throwIfAborted()
      const outcome = await scrubOne(ports, { scrubId: pass.id, mostFindings }, fileId, attemptId, signal)
      if (outcome === undefined) {
        aside.push(attemptId)
        continue
      }
      objects++
      bytes += outcome.bytes
      options.onObject?.({ objects, bytes, ...(outcome.finding !== undefined && { finding: outcome.finding }) })
      await pace(bytes)
    }
  }
  return (await finishScrub(records, pass.id)) ?? pass
}

/** Undefined when the file is by now stored in another object, or not at all: then there is no result for this one. */
async function scrubOne(
  ports: ScrubPorts,
  pass: { readonly scrubId: string; readonly mostFindings: number | undefined },
  fileId: string,
  attemptId: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly bytes: number; readonly finding?: ScrubFinding } | undefined> {
  let bytes = 0
  try {
    const stored = await storedAs(ports.records, fileId, attemptId)
    if (stored === undefined) return undefined
    bytes = stored.committed.objectLength
    await verifyStored(ports, stored, signal)
    await recordScrubbed(ports.records, { ...pass, attemptId, bytes })
    return { bytes }
  } catch (error) {
    signal?.throwIfAborted()
    const code = ports.faultOf(error)
    if (code === undefined) throw error
    if (await isGone(ports.records, fileId, attemptId)) return undefined
    const finding = { fileId, attemptId, code }
    await recordScrubbed(ports.records, { ...pass, attemptId, bytes, finding })
    return { bytes, finding }
  }
}

/** An unreadable record exists, and is the fault. */
async function isGone(records: Records, fileId: string, attemptId: string): Promise<boolean> {
  try {
    return (await storedAs(records, fileId, attemptId)) === undefined
  } catch (error) {
    if (error instanceof RecordsError && error.code === 'E_KEY_UNKNOWN') return false
    throw error
  }
}

async function storedAs(records: Records, fileId: string, attemptId: string) {
  const found = await getFile(records, fileId)
  const { file, committed } = found ?? {}
  if (file === undefined || committed === null || committed === undefined || committed.id !== attemptId)
    return undefined
  return { file, committed }
}

/** Waits until this many bytes may have been read. */
function pacer(bytesPerSecond: number | undefined, signal: AbortSignal | undefined): (bytes: number) => Promise<void> {
  const begun = performance.now()
  return async (bytes) => {
    if (bytesPerSecond === undefined) return
    const ahead = (bytes / bytesPerSecond) * 1000 - (performance.now() - begun)
    if (ahead > 1) await setTimeout(ahead, undefined, signal === undefined ? {} : { signal })
  }
}

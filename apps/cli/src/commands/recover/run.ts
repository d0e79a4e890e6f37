import { storedHeaders } from '@sealfleet/objects'
import { recoverGroup, type FileOptions, type FileOutcome, type FilePorts } from './file.js'
import { groupByFile } from './groups.js'
import { forEachConcurrent } from '@sealfleet/runtime'
import type { RecoveryReport } from './terms.js'

/** Files examined at once; each reads one object at a time. */
const WIDTH = 4

export interface RecoverRunOptions extends FileOptions {
  readonly prefix: string
  /** Called for every file, and for every other object in the bucket, when it is done. */
  readonly onEnd: (outcome: FileOutcome, bytes: number) => Promise<void>
}

/**
 * Walks the bucket once and recovers file by file. Updates `report` as it runs: written records stay when this throws
 * for a dependency out of reach, or the signal's reason. A second run continues.
 */
export async function recoverFiles(ports: FilePorts, o: RecoverRunOptions, report: RecoveryReport): Promise<void> {
  const headers = storedHeaders(ports.store, { prefix: o.prefix, signal: o.signal })
  await forEachConcurrent(groupByFile(headers), WIDTH, async (group) => {
    o.signal.throwIfAborted()
    const outcome = await recoverGroup(ports, group, o, report)
    await o.onEnd(
      outcome,
      group.found.reduce((sum, { entry }) => sum + (entry.length ?? 0), 0),
    )
  })
}

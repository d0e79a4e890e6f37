import { storedHeaders } from '@sealfleet/objects'
import { recoverGroup, type FileOptions, type FileOutcome, type FilePorts } from './file.js'
import { groupByFile } from './groups.js'
import { forEachConcurrent } from '@sealfleet/runtime'
import type { RecoveryReport } from './terms.js'

/** Files examined at once; each reads one object at a time. */
const WIDTH = 4

export interface RunOptions extends FileOptions {
  readonly prefix: string
  /** Told of every file, and of everything else that lay in the bucket, when it is over. */
  readonly onEnd: (outcome: FileOutcome, bytes: number) => Promise<void>
}

/**
 * Goes through the bucket once and recovers file by file. Fills `report` while it goes on: what was written stays written when
 * this throws what is out of reach, or the signal's reason. Run again, it goes on.
 */
export async function recoverFiles(ports: FilePorts, o: RunOptions, report: RecoveryReport): Promise<void> {
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

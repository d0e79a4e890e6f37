import { batchIdFor } from '@sealfleet/queue'
import { listFiles, type FileFilter } from '@sealfleet/records/files'
import type { Records } from '@sealfleet/records'
import { usageError } from '../cli-error.js'
import { findDomain } from './domains.js'
import { parseSource } from './file-id.js'

/** Options that choose many files. */
export interface SelectionOptions {
  readonly prefix?: string
  readonly batch?: string
  readonly root?: string
  readonly domain?: string
  readonly all?: boolean
}

/** A stored file as far as planning needs it. */
export interface SelectedFile {
  readonly fileId: string
  readonly root: string
  readonly path: string
  /** bytes of plaintext */
  readonly size: number
  readonly objectLength: number
}

/**
 * What `--prefix` and `--root` mean: a prefix as lists print sources (`inbox:2026/`) names its root; beside --root it is a path
 * below that, whatever colons it has.
 */
export function sourceFilter({ prefix, root }: Pick<SelectionOptions, 'prefix' | 'root'>): FileFilter {
  const source = prefix === undefined || root !== undefined ? undefined : parseSource(prefix)
  return source === undefined ? { prefix, root } : { prefix: source.path, root: source.root }
}

/** True when the options choose many files rather than one. */
export function choosesMany(o: SelectionOptions): boolean {
  return o.prefix !== undefined || o.batch !== undefined || o.all === true
}

/** All STORED files of the selection, the newest first. */
export async function selectStored(
  records: Records,
  o: SelectionOptions,
  signal: AbortSignal,
): Promise<readonly SelectedFile[]> {
  if (!choosesMany(o)) throw usageError('name a file id, or choose many')
  const filter: FileFilter = {
    state: 'STORED',
    ...sourceFilter(o),
    batchId: o.batch === undefined ? undefined : batchIdFor(o.batch),
    domain: o.domain === undefined ? undefined : (await findDomain(records, o.domain)).id,
  }
  const selected: SelectedFile[] = []
  let cursor: string | null | undefined
  do {
    signal.throwIfAborted()
    const page = await listFiles(records, { ...filter, limit: 1000, newestFirst: true, ...(cursor ? { cursor } : {}) })
    for (const { file, committed } of page.files) {
      if (committed?.plaintextLength == null || committed.objectLength == null) continue
      const { root, path } = file.source
      const { plaintextLength: size, objectLength } = committed
      selected.push({ fileId: file.id, root, path, size, objectLength })
    }
    cursor = page.nextCursor
  } while (cursor !== null)
  return selected
}

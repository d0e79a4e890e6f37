import { fileIdFor, toFileId, type IngestRequest } from '@sealfleet/queue'
import type { FoundFile } from '../../files/expand.js'

export interface PlanOptions {
  readonly domain: string
  readonly context: Buffer | undefined
  /** a UUID or any other text; for one file alone */
  readonly id: string | undefined
}

/** One file as the producer's client takes it, with its id. */
export interface PlannedFile extends FoundFile {
  readonly fileId: string
  readonly request: IngestRequest
}

/**
 * The request for a found file. Without --id, the file id is derived from domain, root, path, context, size and time of
 * change: enqueueing the same file again is the same request, and a file that was changed since is another
 * one. (By path alone, a changed file would be "stored already" with bytes that are not its own.)
 */
export function planFile(file: FoundFile, o: PlanOptions): PlannedFile {
  const fileId = o.id === undefined ? fileIdFor(contentKey(file, o)) : toFileId(o.id)
  const { root, path } = file
  const request = {
    id: fileId,
    domain: o.domain,
    root,
    path,
    ...(o.context === undefined ? {} : { context: o.context }),
  }
  return { ...file, fileId, request }
}

/** NUL can be in none of the parts, so no two files have the same text. */
function contentKey({ root, path, size, mtimeNs }: FoundFile, { domain, context }: PlanOptions): string {
  return ['sealfleet enqueue', domain, root, path, context?.toString('hex') ?? '', size, mtimeNs].join('\0')
}

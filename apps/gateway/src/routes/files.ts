import { batchIdFor } from '@sealfleet/queue'
import { removeFile } from '@sealfleet/records/deletion'
import { batchProgress, listFiles } from '@sealfleet/records/files'
import type { FileState } from '@sealfleet/records'
import { Problem } from '../problem.js'
import type { Route } from '../route.js'
import { BATCH, code, cursor, domain, FILES, limit, reason, ref, REMOVED, STATE, time } from '../schemas.js'
import { fileView } from '../views.js'
import { domainsOf, findFile, noFile } from './find-file.js'

export const getOne: Route = {
  ...{ method: 'GET', path: '/v1/files/{id}', operation: 'getFile', scope: 'read' },
  summary: 'One file, by its id or by the text that names it in your system.',
  answers: { 200: ref('File') },
  handle: async ({ caller, params }, services) => {
    const { file, committed } = await findFile(services, caller, params['id'] ?? '')
    return { status: 200, body: await fileView(file, committed?.plaintextLength ?? null, services.domains) }
  },
}

export const list: Route = {
  ...{ method: 'GET', path: '/v1/files', operation: 'listFiles', scope: 'read' },
  summary: 'Files by filter, oldest first, page by page.',
  query: {
    state: STATE,
    code: { ...code, description: 'the code of the last failure, of files that were not stored since' },
    domain,
    root: { type: 'string', minLength: 1, maxLength: 64 },
    prefix: { type: 'string', minLength: 1, maxLength: 4_096, description: 'of the path below the root' },
    batch: { type: 'string', minLength: 1, maxLength: 200, description: 'a batch, by name or id' },
    acceptedAfter: { ...time, description: 'accepted at this time or later' },
    acceptedBefore: { ...time, description: 'accepted before this time' },
    limit,
    cursor,
  },
  answers: { 200: FILES },
  handle: async ({ caller, query }, services) => {
    const text = (name: string): string | undefined => query[name]?.toString()
    const batch = text('batch')
    const { files, nextCursor } = await listFiles(services.records, {
      ...(await domainsOf(services, caller, text('domain'))),
      ...{ state: text('state') as FileState | undefined, code: text('code'), root: text('root') },
      ...{ prefix: text('prefix'), cursor: text('cursor'), limit: Number(query['limit'] ?? 100) },
      ...{ acceptedSince: timeOf(text('acceptedAfter')), acceptedBefore: timeOf(text('acceptedBefore')) },
      batchId: batch === undefined ? undefined : batchIdFor(batch),
    })
    const views = files.map(({ file, committed }) =>
      fileView(file, committed?.plaintextLength ?? null, services.domains),
    )
    return { status: 200, body: { files: await Promise.all(views), next: nextCursor } }
  },
}

/** @throws Problem BAD_REQUEST for a day that no calendar has */
function timeOf(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const at = new Date(text)
  if (Number.isNaN(at.getTime())) throw new Problem('BAD_REQUEST', 'there is no such time')
  return at
}

export const remove: Route = {
  ...{ method: 'DELETE', path: '/v1/files/{id}', operation: 'removeFile', scope: 'remove' },
  summary: 'Remove a stored file for good. Its objects are deleted by the next sweep; its record stays as a tombstone.',
  query: { reason },
  required: ['reason'],
  answers: { 200: REMOVED },
  handle: async ({ caller, params, query }, services) => {
    const { id: fileId } = (await findFile(services, caller, params['id'] ?? '')).file
    const told = String(query['reason'])
    const removal = await removeFile(services.records, { fileId, actor: caller.actor, reason: told })
    switch (removal.outcome) {
      case 'removed':
        return { status: 200, body: { fileId, outcome: 'removed' } }
      case 'deleted':
        return { status: 200, body: { fileId, outcome: 'removed-before' } }
      case 'held':
        throw new Problem('HELD', 'the file is under a hold', { fix: 'Ask the operators about the hold.' })
      case 'not-stored':
        throw new Problem('BAD_STATE', `the file is ${removal.state}, not STORED`, {
          fix: 'A dead file is discarded by its dead letter; one that is queued is stored first.',
        })
      case 'unknown':
        throw noFile()
    }
  },
}

export const batch: Route = {
  ...{ method: 'GET', path: '/v1/batches/{id}', operation: 'getBatch', scope: 'read' },
  summary: 'The progress of a batch, by its name or id: files of the token’s domains.',
  answers: { 200: BATCH },
  handle: async ({ caller, params }, { records }) => {
    const found = await batchProgress(records, batchIdFor(params['id'] ?? ''), caller.domains)
    // A batch without a file that the token may see is not shown to exist.
    if (found === undefined || (caller.domains !== undefined && found.accepted === 0))
      throw new Problem('NOT_FOUND', 'there is no such batch', { fix: 'Check its name, and the domains of the token.' })
    const { batch: row, accepted, finished, byState, storedPlaintextBytes, deadByCode } = found
    const { id: batchId, name, expected } = row
    const counts = { accepted, finished, byState, storedBytes: storedPlaintextBytes, deadByCode }
    return { status: 200, body: { batchId, name, expected, ...counts } }
  },
}

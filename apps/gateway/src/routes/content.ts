import { FAILURES, classify } from '@sealfleet/failures'
import {
  openObjectReader,
  readableObject,
  verifyStoredFile,
  type StoredFile,
  type StoredFiles,
} from '@sealfleet/objects'
import type { FileWithObject } from '@sealfleet/records/files'
import { Problem } from '../problem.js'
import { rangeOf } from '../range.js'
import type { Answer, Asked, Content, Route } from '../route.js'
import { VERIFIED } from '../schemas.js'
import type { Services } from '../services.js'
import { findFile } from './find-file.js'

const CONDITIONS = {
  Range: { type: 'string', maxLength: 200, description: 'one range of bytes; several are ignored' },
  'If-Range': { type: 'string', maxLength: 200 },
  'If-None-Match': { type: 'string', maxLength: 2_000 },
}
const ANSWERS = { 200: 'application/octet-stream', 206: 'application/octet-stream', 304: null }

export const getContent: Route = {
  ...{ method: 'GET', path: '/v1/files/{id}/content', operation: 'getContent', scope: 'read' },
  summary: 'The plaintext. No byte is sent before its segment is authenticated; only its whole length is success.',
  headers: CONDITIONS,
  answers: ANSWERS,
  handle: (asked, services) => content(asked, services, true),
}

export const headContent: Route = {
  ...{ method: 'HEAD', path: '/v1/files/{id}/content', operation: 'headContent', scope: 'read' },
  summary: 'The headers of the plaintext, from the records alone.',
  headers: CONDITIONS,
  answers: { 200: null, 206: null, 304: null },
  handle: (asked, services) => content(asked, services, false),
}

export const verify: Route = {
  ...{ method: 'POST', path: '/v1/files/{id}/verify', operation: 'verifyFile', scope: 'verify' },
  summary: 'Check every byte of the stored object against its tags and its record; nothing is decrypted.',
  answers: { 200: VERIFIED },
  handle: async (asked, services) => {
    const stored = storedOf(await findFile(services, asked.caller, asked.params['id'] ?? ''))
    const fileId = stored.file.id
    try {
      const { segments, plaintextLength } = await verifyStoredFile(filesOf(asked, services), stored, () => undefined)
      return { status: 200, body: { fileId, ok: true, segments, length: plaintextLength } }
    } catch (error) {
      const { code } = classify(error)
      if (FAILURES[code].class !== 'integrity') throw error
      services.log.error({ requestId: asked.requestId, fileId, code, err: error }, 'a stored object is damaged')
      return { status: 200, body: { fileId, ok: false, code, detail: FAILURES[code].summary } }
    }
  },
}

async function content(asked: Asked, services: Services, withBody: boolean): Promise<Answer> {
  const { headers: sent } = asked
  const stored = storedOf(await findFile(services, asked.caller, asked.params['id'] ?? ''))
  const { file, committed } = stored
  const length = committed.plaintextLength
  // Strong: a re-encryption changes the attempt, and with it the tag, though not the bytes.
  const etag = `"${committed.id}"`
  const headers: Record<string, string> = {
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-store',
    'content-type': 'application/octet-stream',
    etag,
  }
  if (matches(sent['if-none-match'], etag)) return { status: 304, headers, content: null }
  const isCurrent = sent['if-range'] === undefined || sent['if-range'] === etag
  const range = isCurrent ? rangeOf(sent['range'], length) : 'whole'
  if (range === 'unsatisfiable')
    throw new Problem('RANGE_UNSATISFIABLE', undefined, { headers: { 'content-range': `bytes */${length}` } })
  const { start, end } = range === 'whole' ? { start: 0, end: length } : range
  headers['content-length'] = String(end - start)
  if (range !== 'whole') headers['content-range'] = `bytes ${start}-${end - 1}/${length}`
  const status = range === 'whole' ? 200 : 206
  if (!withBody) return { status, headers, content: null }
  const files = filesOf(asked, services)
  const reader = await openObjectReader(
    { ...files, find: async (id) => (id === file.id ? stored : files.find(id)) },
    file.id,
  )
  const bytes =
    range === 'whole'
      ? reader.readAll({ signal: asked.signal })
      : reader.readRange(start, end, { signal: asked.signal })
  try {
    return { status, headers, content: await begun(file.id, bytes, () => reader[Symbol.dispose]()) }
  } catch (error) {
    reader[Symbol.dispose]()
    throw error
  }
}

/** Content whose first segment is authentic: what fails until then is still a problem, not a broken answer. */
async function begun(fileId: string, bytes: AsyncGenerator<Buffer, void, void>, close: () => void): Promise<Content> {
  const first = await bytes.next()
  async function* all(): AsyncGenerator<Buffer, void, void> {
    if (first.done === true) return
    yield first.value
    yield* bytes
  }
  return { fileId, bytes: all(), close }
}

function matches(header: string | undefined, etag: string): boolean {
  return (
    header !== undefined &&
    header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag || one.trim() === '*')
  )
}

/** @throws Problem FILE_GONE, FILE_NOT_STORED */
function storedOf({ file, committed }: FileWithObject): StoredFile {
  if (committed !== null) return { file, committed }
  if (file.state === 'DELETED' || file.state === 'DISCARDED')
    throw new Problem('FILE_GONE', `the file is ${file.state}`)
  throw new Problem('FILE_NOT_STORED', `the file is ${file.state}, not STORED`, {
    fix: file.state === 'DEAD' ? 'See its last failure; the operators can replay it.' : 'Ask again when it is stored.',
  })
}

function filesOf({ caller, signal }: Asked, services: Services): StoredFiles {
  return {
    find: async (id) => storedOf(await findFile(services, caller, id)),
    object: (stored) => readableObject(services, stored, signal),
  }
}

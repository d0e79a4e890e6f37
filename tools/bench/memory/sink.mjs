/**
 * An S3 server that keeps nothing: `node sink.mjs [LATENCY]`, forked. It counts the bytes it receives and discards
 * them, so that a benchmark measures the worker and not a disk. Small objects are kept, because a trial of the store
 * must get back its objects. Supports the part of S3 that packages/store uses; refuses the rest with 501. Messages:
 * sends its parent `{ port }` once, and answers any message with a Report.
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * @typedef {object} Report
 * @property {number} received bytes of all parts and objects so far
 * @property {number} uploadsAtOnce most multipart uploads that were open together
 * @property {number} partsAtOnce most part bodies that were on their way together
 * @property {[string, number][]} objects key and length of every object
 */
/** @typedef {{ length: number, metadata: [string, string][], body: Buffer | undefined }} Kept */
/** @typedef {{ metadata: [string, string][], parts: Map<number, number> }} Upload */
/** @typedef {{ status: number, headers?: Record<string, string>, body?: string | Buffer }} Answer */

/** Milliseconds from a part's last byte to its answer: the part stays in the worker's memory for this time. */
const latency = Number(process.argv[2] ?? 0)
/** A body up to this long is kept. */
const SMALL = 64 * 1024

/** @type {Map<string, Kept>} */
const objects = new Map()
/** @type {Map<string, Upload>} */
const uploads = new Map()
const seen = { received: 0, uploadsAtOnce: 0, partsAtOnce: 0 }
let partsNow = 0

/** @param {number} status @param {string} code @returns {Answer} */
function refusal(status, code) {
  return { status, body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>` }
}

/** @param {string} xml @returns {Answer} */
const xmlAnswer = (xml) => ({ status: 200, headers: { 'content-type': 'application/xml' }, body: xml })

/**
 * No MD5: hashing would take the worker's core. So the store learns that ETags are not digests here.
 * @param {string} key
 */
const etagOf = (key) => `"sink-${key.length}"`

/**
 * Counts a body, and returns it when it is small.
 *
 * @param {import('node:http').IncomingMessage} request
 */
async function drain(request) {
  let length = 0
  /** @type {Buffer[]} */
  let small = []
  for await (const chunk of /** @type {AsyncIterable<Buffer>} */ (request)) {
    length += chunk.length
    if (request.method === 'PUT') seen.received += chunk.length
    if (length <= SMALL) small.push(chunk)
    else small = []
  }
  return { length, body: length <= SMALL ? Buffer.concat(small) : undefined }
}

/** @param {import('node:http').IncomingMessage} request @returns {[string, string][]} */
function metadataOf(request) {
  return Object.entries(request.headers).flatMap(([name, value]) =>
    name.startsWith('x-amz-meta-') && typeof value === 'string' ? [[name, value]] : [],
  )
}

/**
 * @param {import('node:http').IncomingMessage} request
 * @param {string} key
 * @param {URLSearchParams} query
 * @returns {Promise<Answer>}
 */
async function answerTo(request, key, query) {
  const { method = '', headers } = request
  // Framed bodies would be counted with their frames; the store sends none.
  if (headers['content-encoding'] === 'aws-chunked') return refusal(501, 'NotImplemented')
  const conflict = headers['if-none-match'] === '*' && objects.has(key)
  const uploadId = query.get('uploadId')
  if (method === 'POST' && query.has('uploads')) return startUpload(request, key)
  if (uploadId !== null) return await inUpload(request, key, uploadId, query, conflict)
  if (query.size > 0 && ![...query.keys()].every((name) => name === 'x-id')) return refusal(501, 'NotImplemented')
  if (method === 'PUT') {
    const { length, body } = await drain(request)
    if (conflict) return refusal(412, 'PreconditionFailed')
    objects.set(key, { length, metadata: metadataOf(request), body })
    return { status: 200, headers: { etag: etagOf(key) } }
  }
  if (method === 'DELETE') {
    objects.delete(key)
    return { status: 204 }
  }
  const found = objects.get(key)
  if (!found) return refusal(404, 'NoSuchKey')
  if (headers['if-match'] !== undefined && headers['if-match'] !== etagOf(key))
    return refusal(412, 'PreconditionFailed')
  if (method === 'HEAD') return head(key, found)
  return found.body && method === 'GET' && !headers.range
    ? { ...head(key, found), body: found.body }
    : refusal(501, 'NotImplemented')
}

/** @param {string} key @param {Kept} found @returns {Answer} */
function head(key, { length, metadata }) {
  return {
    status: 200,
    headers: { etag: etagOf(key), 'content-length': String(length), ...Object.fromEntries(metadata) },
  }
}

/** @param {import('node:http').IncomingMessage} request @param {string} key @returns {Answer} */
function startUpload(request, key) {
  const id = randomUUID()
  uploads.set(id, { metadata: metadataOf(request), parts: new Map() })
  seen.uploadsAtOnce = Math.max(seen.uploadsAtOnce, uploads.size)
  return xmlAnswer(
    `<InitiateMultipartUploadResult><Key>${key}</Key><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
  )
}

/**
 * @param {import('node:http').IncomingMessage} request
 * @param {string} key
 * @param {string} uploadId
 * @param {URLSearchParams} query
 * @param {boolean} conflict
 * @returns {Promise<Answer>}
 */
async function inUpload(request, key, uploadId, query, conflict) {
  const upload = uploads.get(uploadId)
  if (request.method === 'PUT') {
    partsNow += 1
    seen.partsAtOnce = Math.max(seen.partsAtOnce, partsNow)
    try {
      const { length } = await drain(request)
      if (latency > 0) await delay(latency)
      upload?.parts.set(Number(query.get('partNumber')), length)
    } finally {
      partsNow -= 1
    }
  } else {
    await drain(request)
  }
  if (!upload) return refusal(404, 'NoSuchUpload')
  switch (request.method) {
    case 'PUT':
      return { status: 200, headers: { etag: etagOf(key) } }
    case 'DELETE':
      uploads.delete(uploadId)
      return { status: 204 }
    case 'POST': {
      if (conflict) return refusal(412, 'PreconditionFailed')
      const length = [...upload.parts.values()].reduce((sum, part) => sum + part, 0)
      objects.set(key, { length, metadata: upload.metadata, body: undefined })
      uploads.delete(uploadId)
      return xmlAnswer(
        `<CompleteMultipartUploadResult><Key>${key}</Key><ETag>${etagOf(key)}</ETag></CompleteMultipartUploadResult>`,
      )
    }
    default:
      return refusal(501, 'NotImplemented')
  }
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://sink')
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'))
  answerTo(request, key, searchParams).then(
    ({ status, headers = {}, body }) => {
      response.writeHead(status, headers)
      response.end(request.method === 'HEAD' ? undefined : body)
    },
    // The connection broke: there is no client to answer.
    () => response.destroy(),
  )
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' ? address?.port : undefined })
})
process.on('message', () => {
  /** @type {Report} */
  const report = { ...seen, objects: [...objects].map(([key, { length }]) => [key, length]) }
  process.send?.(report)
})
process.on('disconnect', () => process.exit(0))

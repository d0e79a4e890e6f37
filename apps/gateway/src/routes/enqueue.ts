import { batchIdFor, fileIdFor, toFileId, type EnqueueResult, type IngestRequest } from '@sealfleet/queue'
import { createBatch, getBatch } from '@sealfleet/records/files'
import type { Caller } from '../access.js'
import { Problem, toProblem } from '../problem.js'
import type { Answer, Asked, Route } from '../route.js'
import { ENQUEUE_BODY, ENQUEUE_ENFORCED, ENQUEUED_MANY, ref } from '../schemas.js'
import type { Services } from '../services.js'
import { checkItem } from '../validate.js'
import { noDomain } from './find-file.js'

type Batch = string | { readonly name: string; readonly expected?: number }

interface Item {
  readonly id?: string
  readonly root: string
  readonly path: string
  readonly domain?: string
  readonly context?: string
}

export const enqueue: Route = {
  ...{ method: 'POST', path: '/v1/files', operation: 'enqueue', scope: 'enqueue' },
  summary: 'Accept one file below a root, or up to 10,000, and queue them. Repeating a request is safe.',
  headers: {
    'Idempotency-Key': {
      ...{ type: 'string', minLength: 1, maxLength: 200, pattern: '^[\\x21-\\x7e]+$' },
      description: 'a namespace for the ids of items without one: the same content under another key is another file',
    },
  },
  body: ENQUEUE_BODY,
  enforced: ENQUEUE_ENFORCED,
  answers: { 200: ENQUEUED_MANY, 202: ref('Enqueued') },
  handle: async (asked, services) => {
    const body = asked.body as Item | { readonly files: readonly unknown[]; readonly batch?: Batch }
    return 'files' in body ? await many(body.files, body.batch, asked, services) : await one(body, asked, services)
  },
}

async function one(item: Item, asked: Asked, services: Services): Promise<Answer> {
  const request = await requestOf(item, asked, services)
  const [result] = await services.ingest(asked.caller.actor).enqueueMany([request])
  if (result === undefined) throw new TypeError('one request gives one result')
  const { fileId, outcome, jobId, error } = result
  if (error !== undefined) throw error
  return { status: 202, body: { fileId, outcome, jobId } }
}

/** Every item has its answer, in order; a bad one stops no other. What cannot be reached stops all. */
async function many(
  items: readonly unknown[],
  batch: Batch | undefined,
  asked: Asked,
  services: Services,
): Promise<Answer> {
  const { caller, requestId } = asked
  const prepared = await Promise.all(items.map((item) => requestOf(item, asked, services).catch(refusal)))
  const requests = prepared.filter((one): one is IngestRequest => !(one instanceof Problem))
  const batchId = batch === undefined || requests.length === 0 ? undefined : await batchOf(batch, caller, services)
  const results = await services.ingest(caller.actor).enqueueMany(requests, { batchId, signal: asked.signal })
  let next = 0
  const answers = prepared.map((one, index) => {
    const result: Pick<EnqueueResult, 'error' | 'fileId' | 'outcome' | 'jobId'> | undefined =
      one instanceof Problem ? undefined : results[next++]
    const problem = one instanceof Problem ? one : result?.error === undefined ? undefined : toProblem(result.error)
    if (problem !== undefined) return { index, error: problem.body(requestId) }
    return { index, fileId: result?.fileId, outcome: result?.outcome, jobId: result?.jobId }
  })
  return { status: 200, body: { results: answers } }
}

/** A refusal is the item's own; anything else ends the request. */
function refusal(error: unknown): Problem {
  const problem = toProblem(error)
  if (problem.status >= 500) throw error
  return problem
}

/** @throws Problem for an item that breaks the contract, or whose domain is not the token's */
async function requestOf(given: unknown, { caller, headers }: Asked, { domains }: Services): Promise<IngestRequest> {
  const item = checkItem(given) as Item
  const domain = item.domain === undefined ? 'default' : await domains.idOf(item.domain)
  if (domain === undefined || !caller.sees(domain)) throw noDomain()
  const { root, path } = item
  const context = item.context === undefined ? undefined : contextOf(item.context)
  const key = headers['idempotency-key']
  const content = [domain, root, path, context?.toString('hex') ?? '']
  const id =
    item.id !== undefined
      ? toFileId(item.id)
      : key === undefined
        ? undefined
        : fileIdFor(['sealfleet idempotency key', key, ...content].join('\0'))
  return { domain, root, path, ...(id !== undefined && { id }), ...(context !== undefined && { context }) }
}

/** @throws Problem PAYLOAD_INVALID */
function contextOf(text: string): Buffer {
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) throw new Problem('PAYLOAD_INVALID', 'context is not base64')
  const bytes = Buffer.from(text, 'base64')
  const plain = text.replace(/=+$/, '').replaceAll('-', '+').replaceAll('_', '/')
  if (bytes.toString('base64').replace(/=+$/, '') !== plain)
    throw new Problem('PAYLOAD_INVALID', 'context is not base64')
  return bytes
}

async function batchOf(batch: Batch, caller: Caller, { records }: Services): Promise<string> {
  const { name, expected } = typeof batch === 'string' ? { name: batch, expected: undefined } : batch
  const id = batchIdFor(name)
  if ((await getBatch(records, id)) !== undefined) return id
  const named = id === name.toLowerCase() ? {} : { name }
  await createBatch(records, { id, ...named, expected, createdBy: caller.actor })
  return id
}

/** JSON Schema 2020-12, which OpenAPI 3.1 uses as it is. */
export type Schema = Readonly<Record<string, unknown>>

const UUID = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
const TIME = '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,9})?(Z|[+-]\\d\\d:\\d\\d)$'

export const uuid: Schema = { type: 'string', pattern: UUID }
export const time: Schema = { type: 'string', pattern: TIME, description: 'ISO 8601' }
const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] })
const text = (maxLength: number, description?: string): Schema => ({
  ...{ type: 'string', minLength: 1, maxLength },
  ...(description !== undefined && { description }),
})
const whole: Schema = { type: 'integer', minimum: 0 }

export function object(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name))
  return { type: 'object', properties, required, additionalProperties: false }
}

/** A cursor is opaque: it is what an answer gave as `next`. */
const next: Schema = { ...orNull(text(200)), description: 'the cursor of the next page; null on the last one' }
export const cursor: Schema = text(200, '`next` of the page before; filters must be the same')
export const limit: Schema = { type: 'integer', minimum: 1, maximum: 1_000, default: 100 }
export const reason: Schema = text(2_000, 'for the audit log')
export const domain: Schema = text(200, 'a key domain, by name or id')
export const STATE: Schema = { type: 'string', enum: ['QUEUED', 'RUNNING', 'STORED', 'DEAD', 'DISCARDED', 'DELETED'] }
export const code: Schema = { type: 'string', pattern: '^[A-Z][A-Z0-9_]{0,63}$' }

/** Schemas that the document names. */
export const COMPONENTS = {
  Problem: object({
    type: text(200),
    title: text(1_000),
    status: { type: 'integer', minimum: 400, maximum: 599 },
    code,
    detail: text(4_000),
    fix: text(4_000),
    requestId: uuid,
  }),
  Item: object(
    {
      id: text(
        1_024,
        'a UUID, or any text that names the file in your system; without it, it follows from the content',
      ),
      root: text(64, 'the name of a root'),
      path: text(4_096, 'the path below the root'),
      domain,
      context: {
        type: 'string',
        maxLength: 1_368,
        description: 'base64 or base64url; up to 1,024 bytes to bind to the file',
      },
    },
    ['id', 'domain', 'context'],
  ),
  Enqueued: object(
    {
      fileId: uuid,
      outcome: {
        type: 'string',
        enum: ['queued', 'already-queued', 'requeued', 'stored', 'dead', 'discarded', 'deleted'],
      },
      jobId: text(100),
    },
    ['jobId'],
  ),
  File: object({
    fileId: uuid,
    state: STATE,
    domain: text(200),
    domainId: text(36),
    root: text(64),
    path: text(4_096),
    batchId: orNull(uuid),
    acceptedAt: time,
    storedAt: orNull(time),
    deletedAt: orNull(time),
    length: orNull(whole),
    attempts: whole,
    lastFailure: orNull(object({ code, at: time, nextTryAt: orNull(time) })),
  }),
  DeadLetter: object({
    id: uuid,
    fileId: orNull(uuid),
    domain: orNull(text(200)),
    code,
    class: text(64),
    reason: { type: 'string' },
    state: { type: 'string', enum: ['OPEN', 'REPLAYED', 'DISCARDED'] },
    createdAt: time,
    generation: whole,
    refusedRequest: { type: 'boolean' },
  }),
} as const satisfies Readonly<Record<string, Schema>>

export const ref = (name: keyof typeof COMPONENTS): Schema => ({ $ref: `#/components/schemas/${name}` })

/** A batch, by its name or id; made when it does not exist, then with the number of files that are to come. */
const batch: Schema = {
  anyOf: [text(200), object({ name: text(200), expected: { ...whole, maximum: 2 ** 31 - 1 } }, ['expected'])],
}

const problemOfItem = { ...ref('Problem'), description: 'why this item was refused' }

export const ENQUEUE_BODY: Schema = {
  anyOf: [
    ref('Item'),
    object({ files: { type: 'array', items: ref('Item'), minItems: 1, maxItems: 10_000 }, batch }, ['batch']),
  ],
}

/** An item is checked by itself, so that it alone is refused. */
export const ENQUEUE_ENFORCED: Schema = {
  type: 'object',
  if: { required: ['files'] },
  then: object({ files: { type: 'array', minItems: 1, maxItems: 10_000 }, batch }, ['batch']),
  else: ref('Item'),
}

export const ENQUEUED_MANY: Schema = object({
  results: {
    type: 'array',
    items: object(
      { index: whole, ...(COMPONENTS.Enqueued['properties'] as Record<string, Schema>), error: problemOfItem },
      ['fileId', 'outcome', 'jobId', 'error'],
    ),
  },
})

export const FILES: Schema = object({ files: { type: 'array', items: ref('File') }, next })
export const LETTERS: Schema = object({ deadLetters: { type: 'array', items: ref('DeadLetter') }, next })
export const RESOLVED: Schema = object({
  results: {
    type: 'array',
    items: object({ id: uuid, outcome: text(64), fileId: uuid }, ['fileId']),
  },
})
export const REMOVED: Schema = object({
  fileId: uuid,
  outcome: { type: 'string', enum: ['removed', 'removed-before'] },
})
export const VERIFIED: Schema = object(
  { fileId: uuid, ok: { type: 'boolean' }, segments: whole, length: whole, code, detail: text(4_000) },
  ['segments', 'length', 'code', 'detail'],
)
export const BATCH: Schema = object({
  batchId: uuid,
  name: orNull(text(1_000)),
  expected: orNull(whole),
  accepted: whole,
  finished: whole,
  byState: { type: 'object', propertyNames: STATE, additionalProperties: whole },
  storedBytes: whole,
  deadByCode: { type: 'object', additionalProperties: whole },
})
export const LETTER_IDS: Schema = { type: 'array', items: uuid, minItems: 1, maxItems: 1_000, uniqueItems: true }

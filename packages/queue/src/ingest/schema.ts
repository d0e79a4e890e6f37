import { z } from 'zod'
import { UUID_PATTERN } from './ids.js'

/** Bytes of a path in UTF-8, as in PATH_MAX. */
export const PATH_LIMIT = 4096
/** Bytes that a caller may bind to a file (FORMAT §5). */
export const CONTEXT_LIMIT = 1024
/** A PostgreSQL integer. */
export const GENERATION_LIMIT = 2 ** 31 - 1

/** Relative, without empty, `.` and `..` segments, NUL or lone surrogates (those have no UTF-8 form). */
const PATH_PATTERN = /^(?!\.{1,2}(?:\/|$))[^/\0\uD800-\uDFFF]+(?:\/(?!\.{1,2}(?:\/|$))[^/\0\uD800-\uDFFF]+)*$/u

/** base64url without padding, in its one canonical form: the unused bits at the end are zero. */
const CONTEXT_PATTERN = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$/

const ROOT_PATTERN = /^[a-z0-9-]{1,64}$/

const uuid = z.string().regex(UUID_PATTERN, { error: 'is not a lower-case UUID with dashes' })

const domainSchema = z.union([z.literal('default'), uuid], {
  error: 'is neither "default" nor a lower-case UUID',
})

const sourceSchema = z.strictObject({
  root: z.string().regex(ROOT_PATTERN, { error: 'is not a root name of a-z, 0-9 and -' }),
  path: z
    .string()
    .regex(PATH_PATTERN, { error: 'is not a relative path without empty, . or .. segments and NUL' })
    .refine((path) => Buffer.byteLength(path) <= PATH_LIMIT, { error: `is longer than ${PATH_LIMIT} bytes` }),
})

/**
 * Data of a job of the `ingest` queue, version 1: small, and free of secrets. schema/ingest-job.v1.json is the same
 * contract for other languages; a test compares the two.
 */
export const ingestJobV1Schema = z.strictObject({
  v: z.literal(1, { error: 'is not 1' }),
  /** the file to keep; the same id always means the same source, domain and context */
  fileId: uuid,
  /** key domain */
  domain: domainSchema,
  source: sourceSchema,
  /** bytes the caller binds to the file, base64url without padding; absent means none */
  context: z
    .string()
    .regex(CONTEXT_PATTERN, { error: 'is not canonical base64url without padding' })
    .max(Math.ceil((CONTEXT_LIMIT * 4) / 3), { error: `is longer than ${CONTEXT_LIMIT} bytes` })
    .optional(),
  /** 1; a replay of a dead letter increments it */
  generation: z
    .int({ error: 'is not a whole number' })
    .min(1, { error: 'is below 1' })
    .max(GENERATION_LIMIT, { error: 'is too large' }),
  /**
   * the fleet that accepted the file; absent where the producer does not know it. A worker of another fleet refuses the
   * job
   */
  fleet: uuid.optional(),
})

export type IngestJobV1 = z.infer<typeof ingestJobV1Schema>

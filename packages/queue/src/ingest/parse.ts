import type { z } from 'zod'
import { CodedError } from '@sealfleet/failures'
import { ingestJobV1Schema, type IngestJobV1 } from './schema.js'

/** Bytes of a job's data as JSON; every valid job is well below it. */
export const PAYLOAD_LIMIT = 32_768

/** Faults named in a message, and the length of a foreign property's name in it, at most. */
const NAMED_FAULTS = 5
const NAME_LIMIT = 40

/**
 * Parses a job's data.
 * @throws {CodedError} PAYLOAD_INVALID; the message names fields and their faults, never their values
 */
export function parseIngestJob(data: unknown): IngestJobV1 {
  const size = sizeOf(data)
  if (size > PAYLOAD_LIMIT) throw invalid(`it has more than ${PAYLOAD_LIMIT} bytes`)
  if (typeof data !== 'object' || data === null || Array.isArray(data)) throw invalid('it is not an object')
  const version = (data as { v?: unknown }).v
  if (version !== 1)
    throw invalid(typeof version === 'number' ? `version ${version} is unknown; this is version 1` : 'v is not 1')
  const parsed = ingestJobV1Schema.safeParse(data)
  if (!parsed.success) throw invalid(describe(parsed.error.issues))
  return parsed.data
}

function sizeOf(data: unknown): number {
  try {
    return Buffer.byteLength(JSON.stringify(data) ?? '')
  } catch (error) {
    throw invalid('it is not JSON', error)
  }
}

function invalid(why: string, cause?: unknown): CodedError {
  return new CodedError('PAYLOAD_INVALID', `the job's data is not valid: ${why}`, cause === undefined ? {} : { cause })
}

function describe(issues: readonly z.core.$ZodIssue[]): string {
  const faults = issues.slice(0, NAMED_FAULTS).map((issue) => {
    const field = issue.path.map(String).join('.')
    if (issue.code === 'unrecognized_keys')
      return `${field === '' ? 'it' : field} has unknown ${issue.keys.slice(0, 3).map(printable).join(', ')}`
    if (issue.code === 'invalid_type') return `${field} is missing or no ${issue.expected}`
    return `${field} ${issue.message}`
  })
  const rest = issues.length - NAMED_FAULTS
  return `${faults.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`
}

/** A foreign property's name, safe for a log line. */
function printable(name: string): string {
  const bare = name.replace(/[^\x20-\x7e]/g, '?')
  return JSON.stringify(bare.length > NAME_LIMIT ? `${bare.slice(0, NAME_LIMIT)}…` : bare)
}

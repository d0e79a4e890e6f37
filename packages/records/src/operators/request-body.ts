import { RecordsError } from '../db/errors.js'
import { canonicalJson, parseCanonicalJson, type CanonicalObject, type CanonicalValue } from './canonical-json.js'
import { isRequestKind, type RequestKind } from './request-kinds.js'

/** The subject of a request, e.g. `{ kind: 'file', id: <its UUID> }`. */
export interface Subject {
  readonly kind: string
  readonly id: string
}

/**
 * The version of the body's form. From 2 on, a detail that names a domain has its id and its name (`domainDetail`);
 * bodies of version 1 stay valid.
 */
export type BodyVersion = 1 | 2
export const BODY_VERSION: BodyVersion = 2

/** The signed content of a request, as a value. */
export interface RequestBody {
  readonly version: BodyVersion
  readonly id: string
  readonly kind: RequestKind
  readonly subject: Subject
  /** Further content that the signers must agree to; nothing secret. */
  readonly detail: CanonicalObject
  /** The required number of signatures of different operators. */
  readonly required: number
  readonly createdAt: Date
  readonly expiresAt: Date
}

/** The database's limit. */
const LONGEST = 65_536

/**
 * Body = canonical JSON of `{ v: 2, id, kind, subject: { kind, id }, detail, required, createdAt, expiresAt }`, times
 * as ISO 8601 with milliseconds and Z. These bytes are made once, kept as they are, and never made again from columns.
 * @throws RecordsError INVALID when the detail has no canonical form, or the body is longer than 64 KiB
 */
export function requestBody(body: RequestBody): Buffer {
  const bytes = Buffer.from(
    canonicalJson({
      v: body.version,
      id: body.id,
      kind: body.kind,
      subject: { kind: body.subject.kind, id: body.subject.id },
      detail: body.detail,
      required: body.required,
      createdAt: body.createdAt.toISOString(),
      expiresAt: body.expiresAt.toISOString(),
    }),
  )
  if (bytes.length > LONGEST) throw new RecordsError('INVALID', 'a request has at most 65,536 bytes')
  return bytes
}

/** 16 bytes: no other construction of this system begins with them. */
const LABEL = Buffer.concat([Buffer.from('SFV1/op-request', 'ascii')], 16)

/** The input of Ed25519: label(16) `SFV1/op-request` ‖ body. */
export function signedBytes(body: Uint8Array): Buffer {
  return Buffer.concat([LABEL, body])
}

/** The body that begins a file of signedBytes. @throws RecordsError REQUEST_MISMATCH when the label is not there */
export function bodyOfSignedBytes(bytes: Uint8Array): Buffer {
  const whole = Buffer.from(bytes)
  if (!whole.subarray(0, LABEL.length).equals(LABEL)) throw mismatch('these bytes are no request of an operator')
  return whole.subarray(LABEL.length)
}

/** Inverse of requestBody. @throws RecordsError REQUEST_MISMATCH for bytes that requestBody does not make */
export function parseRequestBody(bytes: Uint8Array): RequestBody {
  const value = parseCanonicalJson(bytes)
  const version = isObject(value) ? value['v'] : undefined
  if (!isObject(value) || (version !== 1 && version !== 2))
    throw mismatch('these bytes are no request of version 1 or 2')
  const { id, kind, subject, detail, required } = value
  const createdAt = time(value['createdAt'])
  const expiresAt = time(value['expiresAt'])
  const whole =
    typeof id === 'string' &&
    isRequestKind(kind) &&
    isObject(subject) &&
    isObject(detail) &&
    typeof required === 'number'
  if (!whole || createdAt === undefined || expiresAt === undefined) throw mismatch('the request lacks one of its parts')
  const { kind: subjectKind, id: subjectId } = subject
  if (typeof subjectKind !== 'string' || typeof subjectId !== 'string') throw mismatch('the request has no subject')
  const named = { kind: subjectKind, id: subjectId }
  const body: RequestBody = { version, id, kind, subject: named, detail, required, createdAt, expiresAt }
  // An extra field would be signed but never checked.
  if (!requestBody(body).equals(bytes)) throw mismatch('the request has parts that it must not have')
  return body
}

function isObject(value: CanonicalValue | undefined): value is CanonicalObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function time(value: CanonicalValue | undefined): Date | undefined {
  if (typeof value !== 'string') return undefined
  const date = new Date(value)
  return Number.isNaN(date.getTime()) || date.toISOString() !== value ? undefined : date
}

function mismatch(message: string): RecordsError {
  return new RecordsError('REQUEST_MISMATCH', message)
}

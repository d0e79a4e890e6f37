import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { BODY_VERSION, parseRequestBody, type BodyVersion, type RequestBody, type Subject } from './request-body.js'
import type { CanonicalObject } from './canonical-json.js'
import type { OperatorRole, RequestKind } from './request-kinds.js'

/** By the database's clock. */
export type RequestState = 'OPEN' | 'EXPIRED' | 'USED' | 'CANCELLED'

/** Shows that an operator signed; the signature itself is read where it is checked. */
export interface SignatureRow {
  readonly operatorId: string
  readonly operator: string
  readonly role: OperatorRole
  readonly signedAt: Date
  /** The operator was revoked since: the signature does not count any more. */
  readonly revoked: boolean
}

export interface RequestRow {
  readonly id: string
  readonly kind: RequestKind
  /** The version of its body; the newest when the request is not intact. */
  readonly version: BodyVersion
  readonly subject: Subject
  /** The signed detail beside kind and subject; empty when the request is not intact. */
  readonly detail: CanonicalObject
  /** The bytes that operators sign, after the label. */
  readonly body: Buffer
  /** Whether the columns match the body. If not, the row was changed, and the request is unusable. */
  readonly intact: boolean
  readonly required: number
  readonly state: RequestState
  readonly createdBy: string
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly consumedAt: Date | null
  readonly consumedBy: string | null
  readonly cancelledAt: Date | null
  readonly cancelledBy: string | null
  /** Oldest first. */
  readonly signatures: readonly SignatureRow[]
}

export const REQUEST_COLUMNS = Prisma.raw(`
  r.id::text AS id, r.kind, r.subject_kind AS "subjectKind", r.subject_id AS "subjectId", r.body, r.required,
  r.created_by AS "createdBy", r.created_at AS "createdAt", r.expires_at AS "expiresAt", r.consumed_at AS "consumedAt",
  r.consumed_by AS "consumedBy", r.cancelled_at AS "cancelledAt", r.cancelled_by AS "cancelledBy",
  CASE WHEN r.consumed_at IS NOT NULL THEN 'USED' WHEN r.cancelled_at IS NOT NULL THEN 'CANCELLED'
    WHEN r.expires_at <= clock_timestamp() THEN 'EXPIRED' ELSE 'OPEN' END AS state,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('operatorId', s.operator_id, 'operator', o.name, 'role', lower(o.role::text),
      'signedAt', s.signed_at, 'revoked', o.revoked_at IS NOT NULL) ORDER BY s.signed_at, o.name), '[]')
    FROM request_signatures s JOIN operators o ON o.id = s.operator_id WHERE s.request_id = r.id) AS signatures`)

export interface RawRequest extends Omit<
  RequestRow,
  'subject' | 'version' | 'detail' | 'body' | 'intact' | 'signatures'
> {
  readonly subjectKind: string
  readonly subjectId: string
  readonly body: Uint8Array
  readonly signatures: readonly (Omit<SignatureRow, 'signedAt'> & { readonly signedAt: string })[]
}

export function requestRow(raw: RawRequest): RequestRow {
  const { subjectKind, subjectId, signatures, ...rest } = raw
  const subject = { kind: subjectKind, id: subjectId }
  const body = Buffer.from(raw.body)
  const signed = signedBody(body)
  return {
    ...rest,
    subject,
    version: signed?.version ?? BODY_VERSION,
    body,
    detail: signed?.detail ?? {},
    intact: signed !== undefined && agrees({ ...rest, subject }, signed),
    signatures: signatures.map((one) => ({ ...one, signedAt: new Date(one.signedAt) })),
  }
}

function signedBody(bytes: Buffer): RequestBody | undefined {
  try {
    return parseRequestBody(bytes)
  } catch (error) {
    if (error instanceof RecordsError) return undefined
    throw error
  }
}

function agrees(row: Omit<RequestBody, 'detail' | 'version'>, signed: RequestBody): boolean {
  return (
    row.id === signed.id &&
    row.kind === signed.kind &&
    row.subject.kind === signed.subject.kind &&
    row.subject.id === signed.subject.id &&
    row.required === signed.required &&
    row.createdAt.getTime() === signed.createdAt.getTime() &&
    row.expiresAt.getTime() === signed.expiresAt.getTime()
  )
}

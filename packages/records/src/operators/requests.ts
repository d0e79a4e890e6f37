import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { BODY_VERSION, requestBody, type Subject } from './request-body.js'
import type { CanonicalObject } from './canonical-json.js'
import { MOST_SIGNATURES, REQUEST_KINDS, type RequestKind } from './request-kinds.js'
import { REQUEST_COLUMNS, requestRow, type RawRequest, type RequestRow, type RequestState } from './request-row.js'

export interface NewRequest {
  readonly kind: RequestKind
  readonly subject: Subject
  /** Further content that the signers must agree to; canonical, nothing secret. */
  readonly detail: CanonicalObject
  /** Required signatures of different operators; default and least 2, at most 5. */
  readonly required?: number | undefined
  /** Default a day; 1 s to 30 days. */
  readonly expiresSeconds?: number | undefined
  /** The requester, for the row and the audit log. */
  readonly createdBy: string
}

const DAY = 86_400

/**
 * Makes a request. Its id is made here, its times are the database's, and its body never changes. The audit log has a
 * row.
 * @throws RecordsError INVALID
 */
export async function createRequest(db: Queryable, input: NewRequest): Promise<RequestRow> {
  const { kind, subject, detail, required = 2, expiresSeconds = DAY, createdBy } = input
  const { atLeast } = REQUEST_KINDS[kind]
  if (!Number.isInteger(required) || required < atLeast || required > MOST_SIGNATURES)
    throw new RecordsError('INVALID', `a request of kind ${kind} needs ${atLeast} to ${MOST_SIGNATURES} signatures`)
  if (!Number.isInteger(expiresSeconds) || expiresSeconds < 1 || expiresSeconds > 30 * DAY)
    throw new RecordsError('INVALID', 'a request is good for 1 second to 30 days')
  if (subject.kind === '' || subject.id === '') throw new RecordsError('INVALID', 'a request has a subject')
  const [clock] = await db.query<{ now: Date }>(Prisma.sql`SELECT date_trunc('milliseconds', clock_timestamp()) AS now`)
  if (clock === undefined) throw new TypeError('a SELECT of one row returns it')
  const id = randomUUID()
  const createdAt = clock.now
  const expiresAt = new Date(createdAt.getTime() + expiresSeconds * 1_000)
  const body = requestBody({ version: BODY_VERSION, id, kind, subject, detail, required, createdAt, expiresAt })
  const [row] = await db.query<RawRequest>(Prisma.sql`
    WITH r AS (
      INSERT INTO requests (id, kind, subject_kind, subject_id, body, required, created_by, created_at, expires_at)
      VALUES (${id}::uuid, ${kind}, ${subject.kind}, ${subject.id}, ${body}::bytea, ${required}::int, ${createdBy},
        ${createdAt.toISOString()}::timestamptz, ${expiresAt.toISOString()}::timestamptz)
      RETURNING *
    ), noted AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT ${createdBy}, 'requests.create', 'request', r.id::text, jsonb_build_object('kind', r.kind, 'subject',
        r.subject_kind || ' ' || r.subject_id, 'required', r.required, 'bodySha256', encode(sha256(r.body), 'hex'))
      FROM r
    )
    SELECT ${REQUEST_COLUMNS} FROM r`)
  if (row === undefined) throw new TypeError('an INSERT returns its row')
  return requestRow(row)
}

/** Undefined when there is none. @throws RecordsError INVALID for a malformed id */
export async function getRequest(db: Queryable, id: string): Promise<RequestRow | undefined> {
  const [row] = await db.query<RawRequest>(
    Prisma.sql`SELECT ${REQUEST_COLUMNS} FROM requests r WHERE r.id = ${uuid(id, 'the request id')}::uuid`,
  )
  return row === undefined ? undefined : requestRow(row)
}

export interface RequestFilter {
  readonly kind?: RequestKind | undefined
  readonly subject?: Subject | undefined
  readonly state?: RequestState | undefined
  /** Default 100, at most 1,000. */
  readonly limit?: number | undefined
}

/** Newest first. */
export async function listRequests(db: Queryable, filter: RequestFilter = {}): Promise<RequestRow[]> {
  const { kind, subject, state } = filter
  const limit = Math.min(Math.max(1, Math.trunc(filter.limit ?? 100)), 1_000)
  const rows = await db.query<RawRequest>(Prisma.sql`
    SELECT * FROM (SELECT ${REQUEST_COLUMNS} FROM requests r) AS listed
    WHERE (${kind ?? null}::text IS NULL OR kind = ${kind ?? null})
      AND (${subject?.kind ?? null}::text IS NULL OR ("subjectKind" = ${subject?.kind ?? null} AND "subjectId" = ${subject?.id ?? null}))
      AND (${state ?? null}::text IS NULL OR state = ${state ?? null})
    ORDER BY "createdAt" DESC, id LIMIT ${limit}::int`)
  return rows.map(requestRow)
}

/**
 * Ends an open (or expired) request without carrying it out; the audit log has a row.
 * @throws RecordsError NOT_FOUND, REQUEST_USED, REQUEST_CANCELLED
 */
export async function cancelRequest(
  db: Queryable,
  input: { readonly id: string; readonly actor: string; readonly reason: string },
): Promise<RequestRow> {
  const id = uuid(input.id, 'the request id')
  const reason = input.reason.replaceAll('\0', '').trim()
  if (reason === '' || reason.length > 2_000) throw new RecordsError('INVALID', 'a reason has 1 to 2,000 characters')
  const [row] = await db.query<RawRequest>(Prisma.sql`
    WITH r AS (
      UPDATE requests SET cancelled_at = clock_timestamp(), cancelled_by = ${input.actor}
      WHERE id = ${id}::uuid AND consumed_at IS NULL AND cancelled_at IS NULL
      RETURNING *
    ), noted AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT ${input.actor}, 'requests.cancel', 'request', r.id::text,
        jsonb_build_object('kind', r.kind, 'subject', r.subject_kind || ' ' || r.subject_id, 'reason', ${reason}::text)
      FROM r
    )
    SELECT ${REQUEST_COLUMNS} FROM r`)
  if (row !== undefined) return requestRow(row)
  throw notOpen(await getRequest(db, id), id)
}

/** Why a request that is not open cannot be used. */
export function notOpen(request: RequestRow | undefined, id: string): RecordsError {
  if (request === undefined) {
    return new RecordsError('NOT_FOUND', `there is no request ${id}`, { fix: 'see `sealfleet requests list`' })
  }
  const { state, consumedAt, cancelledAt, expiresAt } = request
  const again = { fix: 'make a new request, and have it signed' }
  if (state === 'USED') {
    return new RecordsError('REQUEST_USED', `request ${id} was used at ${consumedAt?.toISOString() ?? '-'}`, again)
  }
  if (state === 'CANCELLED') {
    return new RecordsError(
      'REQUEST_CANCELLED',
      `request ${id} was cancelled at ${cancelledAt?.toISOString() ?? '-'}`,
      again,
    )
  }
  return new RecordsError('REQUEST_EXPIRED', `request ${id} expired at ${expiresAt.toISOString()}`, again)
}

/** A row that was changed in the database. */
export function notIntact(id: string): RecordsError {
  return new RecordsError('REQUEST_MISMATCH', `the row of request ${id} does not say what its signed bytes say`, {
    fix: 'someone wrote to the database: find out who; cancel the request and make a new one',
  })
}

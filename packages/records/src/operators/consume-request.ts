import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { Subject } from './request-body.js'
import { canonicalJson, type CanonicalObject } from './canonical-json.js'
import { REQUEST_KINDS, type RequestKind } from './request-kinds.js'
import type { RequestRow } from './request-row.js'
import { requestSigners } from './request-signers.js'
import { getRequest, notIntact, notOpen } from './requests.js'

export interface ConsumeInput {
  readonly id: string
  readonly kind: RequestKind
  readonly subject: Subject
  /** The actor who carries it out, for the row and the audit log. */
  readonly consumedBy: string
  /**
   * If given, the signed detail must equal it. A function receives the signed body, whose version decides its form; it
   * may throw the reason for a refusal.
   */
  readonly detail?: CanonicalObject | ((signed: RequestRow) => CanonicalObject) | undefined
}

/**
 * Uses a request up, inside the transaction that carries it out: after a rollback it is unused again. The row is locked
 * first. Then the body must match its columns, be for this kind, subject and detail, not have expired by the database's
 * clock, and carry enough matching signatures, each verified again, of different operators of the right role who were
 * not revoked. Only the signed bytes and the operators' keys are trusted. The audit log has a row with the signers.
 * @throws RecordsError NOT_FOUND, REQUEST_USED, REQUEST_CANCELLED, REQUEST_EXPIRED, REQUEST_MISMATCH, REQUEST_UNSIGNED
 */
export async function consumeRequest(tx: Queryable, input: ConsumeInput): Promise<RequestRow> {
  const id = uuid(input.id, 'the request id')
  await tx.query(Prisma.sql`SELECT 1 AS locked FROM requests WHERE id = ${id}::uuid FOR UPDATE`)
  const request = await getRequest(tx, id)
  if (request === undefined) throw notOpen(request, id)
  assertFits(request, input)
  if (request.state !== 'OPEN') throw notOpen(request, id)
  const signers = await assertSigned(tx, request)
  const [used] = await tx.query<{ id: string }>(Prisma.sql`
    WITH r AS (
      UPDATE requests SET consumed_at = clock_timestamp(), consumed_by = ${input.consumedBy}
      WHERE id = ${id}::uuid AND expires_at > clock_timestamp()
      RETURNING id, kind, subject_kind, subject_id
    ), noted AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT ${input.consumedBy}, 'requests.use', 'request', r.id::text, jsonb_build_object('kind', r.kind, 'subject',
        r.subject_kind || ' ' || r.subject_id, 'signedBy', ${JSON.stringify(signers)}::jsonb)
      FROM r
    )
    SELECT id::text AS id FROM r`)
  const after = await getRequest(tx, id)
  if (used === undefined || after === undefined) throw notOpen(after, id)
  return after
}

/**
 * Checks a used request again for an action that comes later than its use: as consumeRequest does, but it must be USED,
 * and the signatures of operators revoked since its use still count. The row is locked.
 * @throws RecordsError NOT_FOUND, REQUEST_MISMATCH (also when it was never used), REQUEST_UNSIGNED
 */
export async function assertUsedRequest(tx: Queryable, input: Omit<ConsumeInput, 'consumedBy'>): Promise<RequestRow> {
  const id = uuid(input.id, 'the request id')
  await tx.query(Prisma.sql`SELECT 1 AS locked FROM requests WHERE id = ${id}::uuid FOR UPDATE`)
  const request = await getRequest(tx, id)
  if (request === undefined) throw notOpen(request, id)
  assertFits(request, input)
  if (request.state !== 'USED')
    throw new RecordsError('REQUEST_MISMATCH', `request ${id} is ${request.state}; no one used it for this`, {
      fix: 'someone wrote to the database: find out who',
    })
  await assertSigned(tx, request)
  return request
}

/** Returns the names of the signers. Throws REQUEST_UNSIGNED. */
async function assertSigned(tx: Queryable, request: RequestRow): Promise<readonly string[]> {
  const signers = await requestSigners(tx, request, { lock: true })
  const needed = Math.max(request.required, REQUEST_KINDS[request.kind].atLeast)
  if (signers.length < needed) throw unsigned(request, signers, needed)
  return signers
}

function assertFits(request: RequestRow, { kind, subject, ...wants }: Omit<ConsumeInput, 'consumedBy'>): void {
  if (!request.intact) throw notIntact(request.id)
  const fix = 'name the request that was signed for this, or have a new one signed'
  if (request.kind !== kind || request.subject.kind !== subject.kind || request.subject.id !== subject.id) {
    const signed = `${request.kind} of ${request.subject.kind} ${request.subject.id}`
    const wanted = `${kind} of ${subject.kind} ${subject.id}`
    throw new RecordsError('REQUEST_MISMATCH', `request ${request.id} is for ${signed}, not for ${wanted}`, { fix })
  }
  const detail = typeof wants.detail === 'function' ? wants.detail(request) : wants.detail
  if (detail !== undefined && canonicalJson(detail) !== canonicalJson(request.detail)) {
    const [signed, wanted] = [canonicalJson(request.detail), canonicalJson(detail)]
    throw new RecordsError('REQUEST_MISMATCH', `request ${request.id} was made for ${signed}, not for ${wanted}`, {
      fix,
    })
  }
}

function unsigned(request: RequestRow, signers: readonly string[], needed: number): RecordsError {
  const missing = needed - signers.length
  const by = signers.length === 0 ? 'nobody' : signers.join(' and ')
  const message = `request ${request.id} needs ${needed} signatures that count and lacks ${missing}: signed by ${by}`
  return new RecordsError('REQUEST_UNSIGNED', message, {
    fix: `have it signed: sealfleet requests show ${request.id} --body FILE, then requests sign and requests approve`,
  })
}

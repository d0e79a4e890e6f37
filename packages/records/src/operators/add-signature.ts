import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { maySign } from './request-kinds.js'
import { signatureFits, SIGNATURE_BYTES } from './signature.js'
import type { OperatorRow } from './operator-row.js'
import type { RequestRow } from './request-row.js'
import { getOperator } from './operators.js'
import { getRequest, notIntact, notOpen } from './requests.js'

export interface SignatureInput {
  readonly requestId: string
  /** Name or id. */
  readonly operator: string
  /** 64 bytes over label(16) `SFV1/op-request` ‖ body. */
  readonly signature: Uint8Array
  /** The person who hands the signature in, for the audit log; default the operator. */
  readonly actor?: string | undefined
}

/**
 * Verifies an operator's signature and adds it to an open request; the audit log has a row.
 * @returns the request with the signature
 * @throws RecordsError NOT_FOUND, REQUEST_EXPIRED, REQUEST_USED, REQUEST_CANCELLED, REQUEST_MISMATCH (the row was
 * changed), OPERATOR_UNKNOWN, OPERATOR_REVOKED, OPERATOR_ROLE, OPERATOR_TWICE, SIGNATURE_INVALID
 */
export async function addSignature(db: Queryable, input: SignatureInput): Promise<RequestRow> {
  const request = await openRequest(db, input.requestId)
  const operator = await getOperator(db, input.operator)
  if (operator === undefined) {
    throw new RecordsError('OPERATOR_UNKNOWN', `no operator has the name or id ${input.operator}`, {
      fix: 'see `sealfleet operators list`',
    })
  }
  assertMaySign(operator, request)
  const { id: operatorId, name, publicKey } = operator
  if (!signatureFits({ publicKey, body: request.body, signature: input.signature })) {
    const length = input.signature.length
    const what =
      length === SIGNATURE_BYTES
        ? `is not ${name}’s over request ${request.id}`
        : `has ${length} bytes; one of Ed25519 has ${SIGNATURE_BYTES}`
    throw new RecordsError('SIGNATURE_INVALID', `the signature ${what}`, {
      fix: 'sign the body of this very request (`sealfleet requests show ID --body FILE`) with the key that was enrolled',
    })
  }
  const actor = input.actor ?? `operator:${name}`
  const [added] = await db.query<{ id: string }>(Prisma.sql`
    WITH r AS MATERIALIZED (
      SELECT id, kind, subject_kind, subject_id FROM requests
      WHERE id = ${request.id}::uuid AND consumed_at IS NULL AND cancelled_at IS NULL AND expires_at > clock_timestamp()
      FOR UPDATE
    ), s AS (
      INSERT INTO request_signatures (request_id, operator_id, signature)
      SELECT r.id, o.id, ${Buffer.from(input.signature)}::bytea FROM r, operators o
      WHERE o.id = ${operatorId}::uuid AND o.revoked_at IS NULL
      ON CONFLICT DO NOTHING
      RETURNING request_id
    ), noted AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT ${actor}, 'requests.approve', 'request', r.id::text, jsonb_build_object('kind', r.kind, 'subject',
        r.subject_kind || ' ' || r.subject_id, 'operator', ${name}::text, 'operatorId', ${operatorId}::text)
      FROM r JOIN s ON s.request_id = r.id
    )
    SELECT request_id::text AS id FROM s`)
  const after = await getRequest(db, request.id)
  if (added !== undefined && after !== undefined) return after
  // The request changed since it was read: report how.
  assertMaySign((await getOperator(db, operatorId)) ?? operator, after ?? request)
  throw notOpen(after, request.id)
}

async function openRequest(db: Queryable, id: string): Promise<RequestRow> {
  const request = await getRequest(db, id)
  if (request?.state !== 'OPEN') throw notOpen(request, id)
  if (!request.intact) throw notIntact(id)
  return request
}

function assertMaySign({ id, name, role, revokedAt }: OperatorRow, request: RequestRow): void {
  if (revokedAt !== null) {
    throw new RecordsError('OPERATOR_REVOKED', `the operator ${name} was revoked at ${revokedAt.toISOString()}`, {
      fix: 'have another officer sign',
    })
  }
  if (!maySign(role, request.kind)) {
    throw new RecordsError('OPERATOR_ROLE', `${name} is an ${role} and may not sign requests of kind ${request.kind}`, {
      fix: 'have an officer sign',
    })
  }
  if (request.signatures.some(({ operatorId }) => operatorId === id)) {
    throw new RecordsError('OPERATOR_TWICE', `${name} has signed request ${request.id} already`, {
      fix: 'another operator must sign',
    })
  }
}

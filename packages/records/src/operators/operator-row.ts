import { Prisma, type Operator } from '../generated/client.js'
import type { OperatorRole } from './request-kinds.js'

/** A person who may sign requests. */
export interface OperatorRow extends Readonly<Omit<Operator, 'role' | 'publicKey'>> {
  readonly role: OperatorRole
  /** 32 bytes, raw. */
  readonly publicKey: Buffer
}

export const OPERATOR_COLUMNS = Prisma.raw(`
  o.id::text AS id, o.name, o.role::text AS role, o.public_key AS "publicKey", o.enrolled_by AS "enrolledBy",
  o.enrolled_at AS "enrolledAt", o.request_id::text AS "requestId", o.revoked_at AS "revokedAt", o.revoked_by AS "revokedBy"`)

/** As Prisma reads it, and as OPERATOR_COLUMNS name it. */
export type RawOperator = Readonly<Operator>

export function operatorRow(raw: RawOperator): OperatorRow {
  return { ...raw, role: raw.role.toLowerCase() as OperatorRole, publicKey: Buffer.from(raw.publicKey) }
}

import { Prisma } from '../generated/client.js'
import type { OperatorRole } from './request-kinds.js'

/** A person who may sign requests. */
export interface OperatorRow {
  readonly id: string
  readonly name: string
  readonly role: OperatorRole
  /** 32 bytes, raw. */
  readonly publicKey: Buffer
  readonly enrolledBy: string
  readonly enrolledAt: Date
  /** The signed request by which they were enrolled; null for operators enrolled before there were two officers. */
  readonly requestId: string | null
  readonly revokedAt: Date | null
  readonly revokedBy: string | null
}

export const OPERATOR_COLUMNS = Prisma.raw(`
  o.id::text AS id, o.name, o.role::text AS role, o.public_key AS "publicKey", o.enrolled_by AS "enrolledBy",
  o.enrolled_at AS "enrolledAt", o.request_id::text AS "requestId", o.revoked_at AS "revokedAt", o.revoked_by AS "revokedBy"`)

export type RawOperator = Omit<OperatorRow, 'role' | 'publicKey'> & {
  readonly role: Uppercase<OperatorRole>
  readonly publicKey: Uint8Array
}

export function operatorRow(raw: RawOperator): OperatorRow {
  return { ...raw, role: raw.role.toLowerCase() as OperatorRole, publicKey: Buffer.from(raw.publicKey) }
}

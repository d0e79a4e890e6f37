import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'

/** A row of the log that enrolled or revoked an operator, with the ids it names. */
export interface OperatorEvent {
  readonly eventId: string
  readonly action: 'operators.add' | 'operators.revoke'
  readonly operatorId: string
  readonly name: string | null
  /** `OFFICER` or `AUDITOR`. */
  readonly role: string | null
  /** Hexadecimal. */
  readonly publicKey: string | null
  readonly request: string | null
  readonly reason: string | null
}

/** All of them, oldest first: the number of people bounds it, not that of files. */
export function listOperatorEvents(db: Queryable): Promise<readonly OperatorEvent[]> {
  return db.query<OperatorEvent>(Prisma.sql`
    SELECT id::text AS "eventId", action, subject_id AS "operatorId", detail->>'name' AS name, detail->>'role' AS role,
      detail->>'publicKey' AS "publicKey", detail->>'request' AS request, detail->>'reason' AS reason
    FROM audit_log WHERE action IN ('operators.add', 'operators.revoke') AND subject_kind = 'operator' ORDER BY audit_log.id`)
}

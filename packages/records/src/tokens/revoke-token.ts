import { appendAudit } from '../audit/append-audit.js'
import { RecordsError } from '../db/errors.js'
import { reasonOf } from '../db/reason.js'
import { uuid } from '../db/ids.js'
import type { Records } from '../db/records.js'
import { Prisma } from '../generated/client.js'
import { getToken } from './get-token.js'
import type { TokenRow } from './token-row.js'

export interface TokenRevocation {
  readonly id: string
  /** 1 to 2,000 characters. */
  readonly reason: string
  readonly actor: string
}

/**
 * Revokes a token, with its row in the audit log, in one transaction: no request that is read afterwards is answered
 * for it. @throws RecordsError NOT_FOUND, BAD_STATE (revoked before), INVALID
 */
export async function revokeToken(records: Records, input: TokenRevocation): Promise<TokenRow> {
  const reason = reasonOf(input.reason)
  const id = uuid(input.id, 'the id of the token')
  return records.transaction(async (tx) => {
    const revoked = await tx.query<{ id: string }>(Prisma.sql`
      UPDATE api_tokens SET revoked_at = clock_timestamp(), revoked_by = ${input.actor}
      WHERE id = ${id}::uuid AND revoked_at IS NULL
      RETURNING id::text`)
    const token = await getToken(tx, id)
    if (token === undefined) throw new RecordsError('NOT_FOUND', `there is no token ${id}`)
    if (revoked.length === 0)
      throw new RecordsError('BAD_STATE', `token ${token.name} was revoked before, by ${token.revokedBy ?? '-'}`, {
        fix: 'see `sealfleet tokens list --all`',
      })
    await appendAudit(tx, {
      ...{ actor: input.actor, action: 'tokens.revoke', subjectKind: 'token', subjectId: id },
      detail: { name: token.name, reason },
    })
    return token
  })
}

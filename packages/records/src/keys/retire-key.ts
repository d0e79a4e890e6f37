import type { MasterKeyRef } from '@sealfleet/format'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Records } from '../db/records.js'
import { KEY_COLUMNS, keyRow, type RawKey } from './key-row.js'
import type { KeyRow } from '../db/terms.js'
import { appendAudit } from '../audit/append-audit.js'
import { getMasterKey } from './master-keys.js'

export interface RetireInput {
  readonly ref: Pick<MasterKeyRef, 'domain' | 'role'>
  readonly actor: string
  readonly reason: string
}

/**
 * Retires the active version of a role without a successor: from now on it only opens files. A domain whose enc, sig or
 * kek it was takes no new files until it has keys again. Writes a row of the audit log.
 * @throws RecordsError NOT_FOUND (no key of that role), BAD_STATE (none is active)
 */
export async function retireMasterKey(records: Records, { ref, actor, reason }: RetireInput): Promise<KeyRow> {
  const domainId = domainToUuid(ref.domain)
  const role = ref.role.toUpperCase()
  return records.transaction(async (tx) => {
    // Locks in the order of a rotation, so that the two run one after the other.
    await tx.query(Prisma.sql`SELECT 1 AS locked FROM key_domains WHERE id = ${domainId}::uuid FOR UPDATE`)
    const [row] = await tx.query<RawKey>(Prisma.sql`
      UPDATE master_keys k SET state = 'DECRYPT_ONLY', retired_at = clock_timestamp()
      WHERE k.domain_id = ${domainId}::uuid AND k.role = ${role}::key_role AND k.state = 'ACTIVE' RETURNING ${KEY_COLUMNS}`)
    if (row === undefined) {
      const any = await getMasterKey(tx, { ...ref, version: 1 })
      throw any === undefined
        ? new RecordsError('NOT_FOUND', `domain ${ref.domain} has no ${ref.role} key`)
        : new RecordsError('BAD_STATE', `no ${ref.role} key of domain ${ref.domain} is active`, {
            fix: 'see `npx sealfleet keys list`',
          })
    }
    const key = keyRow(row)
    const detail = { label: key.label, reason }
    await appendAudit(tx, { actor, action: 'keys.retire', subjectKind: 'key', subjectId: key.id, detail })
    return key
  })
}

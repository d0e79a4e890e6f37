import type { Suite } from '@sealfleet/format'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { DomainPolicy } from '../db/terms.js'
import { domainPolicy, policyDays, POLICY_COLUMNS, type RawPolicy } from './domains.js'

/** The changes; undefined fields stay as they are. */
export interface DomainChange {
  readonly name?: string | undefined
  /** For keys made from now on: sealing changes with the next rotation. */
  readonly suite?: Suite | undefined
  readonly nonceMode?: 'inline' | 'detached' | undefined
  /** 16 to 24. */
  readonly segLog2?: number | undefined
  /** Whole days from 1; null: never. */
  readonly rotationDays?: number | null | undefined
  /** Whole days from 1; null: forever. */
  readonly retentionDays?: number | null | undefined
  /** Required for detached nonces: losing the database then loses the files. */
  readonly lossAcknowledged?: boolean | undefined
}

/**
 * Changes a domain's policy. Stored files stay as they are; files claimed from now on follow it.
 * @param tx a transaction: the domain's row stays locked until it ends
 * @returns the policy before and after
 * @throws RecordsError NOT_FOUND; CONFLICT when the name is taken; NO_ACTIVE_KEY for detached nonces without an active
 * kek; INVALID for a value that the schema refuses, and for detached nonces whose danger was not acknowledged
 */
export async function setDomain(
  tx: Queryable,
  id: string,
  change: DomainChange,
): Promise<{ readonly before: DomainPolicy; readonly after: DomainPolicy }> {
  const domainId = domainToUuid(id)
  const [row] = await tx.query<RawPolicy>(
    Prisma.sql`SELECT ${POLICY_COLUMNS} FROM key_domains WHERE id = ${domainId}::uuid FOR UPDATE`,
  )
  if (row === undefined) throw new RecordsError('NOT_FOUND', `there is no key domain ${id}`)
  const before = domainPolicy(row)
  const next = { ...before, ...defined(change) }
  if (next.nonceMode === 'detached' && before.nonceMode === 'inline') {
    if (change.lossAcknowledged !== true)
      throw new RecordsError('INVALID', 'with detached nonces, anyone who loses the database loses the files')
    await assertActiveKek(tx, domainId, before.name)
  }
  const mode = next.nonceMode === 'detached' ? 'DETACHED' : 'INLINE'
  const [changed] = await tx.query<RawPolicy>(Prisma.sql`
    UPDATE key_domains SET name = ${next.name}, suite = ${next.suite}::int, nonce_mode = ${mode}::nonce_mode,
      seg_log2 = ${next.segLog2}::int, rotation_days = ${policyDays(next.rotationDays, 'a rotation period')}::int,
      retention_days = ${policyDays(next.retentionDays, 'a retention')}::int,
      loss_acknowledged_at = CASE WHEN ${change.lossAcknowledged === true} AND loss_acknowledged_at IS NULL
        THEN clock_timestamp() ELSE loss_acknowledged_at END
    WHERE id = ${domainId}::uuid RETURNING ${POLICY_COLUMNS}`)
  if (changed === undefined) throw new RecordsError('NOT_FOUND', `there is no key domain ${id}`)
  return { before, after: domainPolicy(changed) }
}

/** Otherwise every file of the domain would wait for one. */
async function assertActiveKek(tx: Queryable, domainId: string, name: string): Promise<void> {
  const where = { domainId, role: 'KEK', state: 'ACTIVE' } as const
  if ((await tx.read(({ masterKey }) => masterKey.count({ where }))) > 0) return
  throw new RecordsError('NO_ACTIVE_KEY', `domain ${name} has no active kek, which detached nonces are wrapped by`, {
    fix: `make one first: \`npx sealfleet keys init --domain ${name} --with-kek\``,
  })
}

function defined(change: DomainChange): Partial<DomainPolicy> {
  const { lossAcknowledged: _, ...policy } = change
  return Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined))
}

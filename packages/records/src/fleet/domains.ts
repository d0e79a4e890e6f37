import type { Suite } from '@sealfleet/format'
import { RecordsError } from '../db/errors.js'
import { Prisma, type KeyDomain } from '../generated/client.js'
import { domainFromUuid, domainToUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { DomainPolicy } from '../db/terms.js'

export interface DomainInput {
  /** `default` or a UUID. */
  readonly id: string
  /** Default: the id. */
  readonly name?: string | undefined
  readonly suite?: Suite | undefined
  readonly nonceMode?: 'inline' | 'detached' | undefined
  /** 16 to 24; default 20. */
  readonly segLog2?: number | undefined
  /** Required for detached nonces: losing the database then loses the files. */
  readonly lossAcknowledged?: boolean | undefined
  /** Whole days from 1; null, the default: never. */
  readonly rotationDays?: number | null | undefined
  /** Whole days from 1; null, the default: forever. */
  readonly retentionDays?: number | null | undefined
}

/** A row's policy as POLICY_COLUMNS name it, beside columns of other tables. */
export interface RawPolicy {
  readonly domainId: KeyDomain['id']
  readonly domainName: KeyDomain['name']
  readonly domainSuite: KeyDomain['suite']
  readonly domainNonceMode: KeyDomain['nonceMode']
  readonly domainSegLog2: KeyDomain['segLog2']
  readonly domainRotationDays: KeyDomain['rotationDays']
  readonly domainRetentionDays: KeyDomain['retentionDays']
}

export function domainPolicy(raw: RawPolicy): DomainPolicy {
  return {
    id: domainFromUuid(raw.domainId),
    name: raw.domainName,
    suite: raw.domainSuite as Suite,
    nonceMode: raw.domainNonceMode === 'DETACHED' ? 'detached' : 'inline',
    segLog2: raw.domainSegLog2,
    rotationDays: raw.domainRotationDays,
    retentionDays: raw.domainRetentionDays,
  }
}

export const POLICY_COLUMNS = Prisma.raw(`
  id AS "domainId", name AS "domainName", suite AS "domainSuite", nonce_mode::text AS "domainNonceMode",
  seg_log2 AS "domainSegLog2", rotation_days AS "domainRotationDays", retention_days AS "domainRetentionDays"`)

/** A hundred years: times beyond a timestamp's range would break every query on due times. */
const MOST_DAYS = 36_500

/** Days of a policy: null, or whole and from 1 to 36,500. @throws RecordsError INVALID */
export function policyDays(days: number | null, what: string): number | null {
  if (days === null || (Number.isInteger(days) && days >= 1 && days <= MOST_DAYS)) return days
  throw new RecordsError('INVALID', `${what} is a whole number of days from 1 to ${MOST_DAYS}`)
}

/**
 * Makes a domain, or finds an existing one with the same policy.
 * @throws RecordsError CONFLICT when it exists with another policy, or its name is taken; INVALID
 */
export async function ensureDomain(
  db: Queryable,
  input: DomainInput,
): Promise<{ readonly created: boolean; readonly domain: DomainPolicy }> {
  const wanted = {
    name: input.name ?? input.id,
    suite: input.suite ?? 1,
    mode: input.nonceMode === 'detached' ? 'DETACHED' : 'INLINE',
    segLog2: input.segLog2 ?? 20,
  }
  const [created] = await db.query<RawPolicy>(Prisma.sql`
    INSERT INTO key_domains (id, name, suite, nonce_mode, seg_log2, loss_acknowledged_at, rotation_days, retention_days)
    VALUES (${domainToUuid(input.id)}::uuid, ${wanted.name}, ${wanted.suite}::int, ${wanted.mode}::nonce_mode,
      ${wanted.segLog2}::int, CASE WHEN ${input.lossAcknowledged === true} THEN clock_timestamp() END,
      ${policyDays(input.rotationDays ?? null, 'a rotation period')}::int,
      ${policyDays(input.retentionDays ?? null, 'a retention')}::int)
    ON CONFLICT (id) DO NOTHING
    RETURNING ${POLICY_COLUMNS}`)
  if (created !== undefined) return { created: true, domain: domainPolicy(created) }
  const domain = await getDomain(db, input.id)
  const differs =
    domain === undefined ||
    (input.name !== undefined && domain.name !== input.name) ||
    (input.suite !== undefined && domain.suite !== input.suite) ||
    (input.nonceMode !== undefined && domain.nonceMode !== input.nonceMode) ||
    (input.segLog2 !== undefined && domain.segLog2 !== input.segLog2) ||
    (input.rotationDays !== undefined && domain.rotationDays !== input.rotationDays) ||
    (input.retentionDays !== undefined && domain.retentionDays !== input.retentionDays)
  if (differs)
    throw new RecordsError('CONFLICT', `the key domain ${input.id} exists with another policy`, {
      fix: 'see `sealfleet domains list`; change it with `sealfleet domains set`',
    })
  return { created: false, domain }
}

export async function getDomain(db: Queryable, id: string): Promise<DomainPolicy | undefined> {
  const row = await db.read(({ keyDomain }) => keyDomain.findUnique({ where: { id: domainToUuid(id) } }))
  return row === null ? undefined : policyOf(row)
}

export async function listDomains(db: Queryable): Promise<DomainPolicy[]> {
  return (await db.read(({ keyDomain }) => keyDomain.findMany({ orderBy: { name: 'asc' } }))).map(policyOf)
}

function policyOf({ id, name, suite, nonceMode, segLog2, rotationDays, retentionDays }: KeyDomain): DomainPolicy {
  return domainPolicy({
    ...{ domainId: id, domainName: name, domainSuite: suite, domainNonceMode: nonceMode, domainSegLog2: segLog2 },
    ...{ domainRotationDays: rotationDays, domainRetentionDays: retentionDays },
  })
}

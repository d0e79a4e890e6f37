import { RecordsError } from '../errors.js'
import { Prisma } from '../generated/client.js'
import { domainFromUuid, domainToUuid } from '../ids.js'
import type { Queryable } from '../records.js'
import type { DomainPolicy, Suite } from '../terms.js'

export interface DomainInput {
  /** `default` or a UUID. */
  readonly id: string
  /** Default: the id. */
  readonly name?: string | undefined
  readonly suite?: Suite | undefined
  readonly nonceMode?: 'inline' | 'detached' | undefined
  /** 16 to 24; default 20. */
  readonly segLog2?: number | undefined
  /** Required for detached nonces: whoever loses the database then loses the files. */
  readonly lossAcknowledged?: boolean | undefined
}

export interface RawPolicy {
  readonly domainId: string
  readonly domainName: string
  readonly domainSuite: number
  readonly domainNonceMode: 'INLINE' | 'DETACHED'
  readonly domainSegLog2: number
}

export function domainPolicy(raw: RawPolicy): DomainPolicy {
  return {
    id: domainFromUuid(raw.domainId),
    name: raw.domainName,
    suite: raw.domainSuite as Suite,
    nonceMode: raw.domainNonceMode === 'DETACHED' ? 'detached' : 'inline',
    segLog2: raw.domainSegLog2,
  }
}

const COLUMNS = Prisma.raw(`
  id AS "domainId", name AS "domainName", suite AS "domainSuite", nonce_mode::text AS "domainNonceMode",
  seg_log2 AS "domainSegLog2"`)

/**
 * Makes a domain, or finds it there with the same policy.
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
    INSERT INTO key_domains (id, name, suite, nonce_mode, seg_log2, loss_acknowledged_at)
    VALUES (${domainToUuid(input.id)}::uuid, ${wanted.name}, ${wanted.suite}::int, ${wanted.mode}::nonce_mode,
      ${wanted.segLog2}::int, CASE WHEN ${input.lossAcknowledged === true} THEN clock_timestamp() END)
    ON CONFLICT (id) DO NOTHING
    RETURNING ${COLUMNS}`)
  if (created !== undefined) return { created: true, domain: domainPolicy(created) }
  const domain = await getDomain(db, input.id)
  const differs =
    domain === undefined ||
    (input.name !== undefined && domain.name !== input.name) ||
    (input.suite !== undefined && domain.suite !== input.suite) ||
    (input.nonceMode !== undefined && domain.nonceMode !== input.nonceMode) ||
    (input.segLog2 !== undefined && domain.segLog2 !== input.segLog2)
  if (differs) throw new RecordsError('CONFLICT', `the key domain ${input.id} exists with another policy`)
  return { created: false, domain }
}

export async function getDomain(db: Queryable, id: string): Promise<DomainPolicy | undefined> {
  const [row] = await db.query<RawPolicy>(
    Prisma.sql`SELECT ${COLUMNS} FROM key_domains WHERE id = ${domainToUuid(id)}::uuid`,
  )
  return row === undefined ? undefined : domainPolicy(row)
}

export async function listDomains(db: Queryable): Promise<DomainPolicy[]> {
  const rows = await db.query<RawPolicy>(Prisma.sql`SELECT ${COLUMNS} FROM key_domains ORDER BY name`)
  return rows.map(domainPolicy)
}

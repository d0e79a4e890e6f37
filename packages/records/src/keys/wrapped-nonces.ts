import type { Suite } from '@sealfleet/format'
import { Prisma } from '../generated/client.js'
import { domainFromUuid, domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { AttemptState, KeyState } from '../db/terms.js'

/** An attempt whose nonces are wrapped: the inputs for opening them (FORMAT §5), and their location. */
export interface WrappedNonces {
  readonly attemptId: string
  readonly fileId: string
  readonly state: AttemptState
  readonly suite: Suite
  readonly keyDomain: string
  readonly encKeyVersion: number
  readonly sigKeyVersion: number
  readonly kekKeyId: string
  readonly kekVersion: number
  readonly kekState: KeyState
  /** 92 bytes. */
  readonly wrapped: Buffer
}

export interface WrappedNoncesPage {
  readonly domain: string
  /** Only nonces that this version wraps; undefined: every version but `exceptKekVersion`. */
  readonly kekVersion?: number | undefined
  readonly exceptKekVersion: number
  readonly after?: string | undefined
  readonly limit: number
}

interface Row extends Omit<WrappedNonces, 'wrapped' | 'keyDomain'> {
  readonly domainId: string
  readonly wrapped: Uint8Array
}

/**
 * Attempts of a domain whose nonces another KEK version than `exceptKekVersion` wraps, in any state, in the order of
 * their ids.
 */
export async function listWrappedNonces(db: Queryable, page: WrappedNoncesPage): Promise<WrappedNonces[]> {
  const from =
    page.after === undefined ? Prisma.empty : Prisma.sql`AND a.id > ${uuid(page.after, 'the attempt id')}::uuid`
  const version = page.kekVersion === undefined ? Prisma.empty : Prisma.sql`AND k.version = ${page.kekVersion}::int`
  const rows = await db.query<Row>(Prisma.sql`
    SELECT a.id AS "attemptId", a.file_id AS "fileId", a.state::text AS state, a.suite, a.domain_id AS "domainId",
      e.version AS "encKeyVersion", s.version AS "sigKeyVersion", k.id AS "kekKeyId", k.version AS "kekVersion",
      k.state::text AS "kekState", a.wrapped_nonces AS wrapped
    FROM attempts a JOIN master_keys k ON k.id = a.kek_key_id JOIN master_keys e ON e.id = a.enc_key_id
      JOIN master_keys s ON s.id = a.sig_key_id
    WHERE a.domain_id = ${domainToUuid(page.domain)}::uuid AND a.wrapped_nonces IS NOT NULL
      AND k.version <> ${page.exceptKekVersion}::int ${version} ${from}
    ORDER BY a.id LIMIT ${page.limit}::int`)
  return rows.map(({ domainId, wrapped, ...row }) => ({
    ...row,
    keyDomain: domainFromUuid(domainId),
    wrapped: Buffer.from(wrapped),
  }))
}

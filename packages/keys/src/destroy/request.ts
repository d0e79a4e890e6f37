import { domainDetail } from '@sealfleet/records/requests'
import { getDomain } from '@sealfleet/records/fleet'
import { RecordsError, type DomainPolicy, type KeyRow, type Queryable } from '@sealfleet/records'
import type { CanonicalObject } from '@sealfleet/records/operators'

import { DestructionRefused } from './terms.js'

/** The terms that two operators sign for the destruction of a key. */
export interface DestructionTerms {
  readonly reason: string
  /** The HSM's backups that hold the key, and their future. */
  readonly backups: string
  /** Seconds between scheduling and carrying out. */
  readonly waitSeconds: number
  /** The number of files given up; null: no file may need the key. */
  readonly shred: number | null
}

export const DESTROY_KIND = 'keys.destroy'

/** The detail of a request of kind `keys.destroy`: identifies the key by all of its properties. */
export function requestDetail(
  key: KeyRow,
  domain: Pick<DomainPolicy, 'name'>,
  terms: DestructionTerms,
): CanonicalObject {
  const { reason, backups, waitSeconds, shred } = terms
  return {
    ...domainDetail({ id: key.domain, name: domain.name }),
    label: key.label,
    checkValue: key.checkValue?.toString('hex') ?? null,
    reason,
    backups,
    waitSeconds,
    shredFiles: shred,
  }
}

/** The domain of a key, under its present name. @throws RecordsError NOT_FOUND */
export async function domainOf(db: Queryable, key: KeyRow): Promise<DomainPolicy> {
  const domain = await getDomain(db, key.domain)
  if (domain === undefined) throw new RecordsError('NOT_FOUND', `there is no key domain ${key.domain}`)
  return domain
}

/**
 * The inverse, for a request of either version. @throws DestructionRefused REQUEST_MISMATCH when it is about another
 * key, or incomplete
 */
export function termsOf(key: KeyRow, detail: CanonicalObject): DestructionTerms {
  const { label, checkValue, reason, backups, waitSeconds, shredFiles } = detail
  const whole =
    typeof reason === 'string' &&
    typeof backups === 'string' &&
    typeof waitSeconds === 'number' &&
    (shredFiles === null || typeof shredFiles === 'number')
  if (!whole || label !== key.label || checkValue !== (key.checkValue?.toString('hex') ?? null))
    throw new DestructionRefused('REQUEST_MISMATCH', `the request is not for ${key.label} as it is registered`, {
      fix: 'name the request that was signed for this key: see `sealfleet requests list`',
    })
  return { reason, backups, waitSeconds, shred: shredFiles }
}

import { Prisma } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { lockDomainForDeletion } from '../fleet/domain-lock.js'

/** A hold that was not released: the files it covers are not deleted, and their keys not destroyed. */
export interface ActiveHold {
  readonly id: string
  /** Null: the whole domain. */
  readonly fileId: string | null
  readonly reason: string
  readonly placedBy: string
  readonly placedAt: Date
}

/**
 * Holds on a domain as a whole and, with `fileId`, on that file, oldest first. Without `fileId` also those on any file
 * of the domain. No hold can be placed in that domain until the transaction ends: the domain's row is locked here. Call
 * it before you lock a file or a key (a rotation locks the domain first, too).
 * @throws RecordsError NOT_FOUND, INVALID
 */
export async function activeHolds(
  tx: Queryable,
  input: { readonly domain: string; readonly fileId?: string | undefined },
): Promise<ActiveHold[]> {
  const fileId = input.fileId === undefined ? null : uuid(input.fileId, 'the file id')
  await lockDomainForDeletion(tx, input.domain)
  return tx.query<ActiveHold>(Prisma.sql`
    SELECT id::text AS id, file_id::text AS "fileId", reason, placed_by AS "placedBy", placed_at AS "placedAt"
    FROM holds WHERE domain_id = ${domainToUuid(input.domain)}::uuid AND released_at IS NULL
      AND (file_id IS NULL OR ${fileId}::uuid IS NULL OR file_id = ${fileId}::uuid)
    ORDER BY placed_at, id`)
}

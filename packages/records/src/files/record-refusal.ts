import { randomUUID } from 'node:crypto'
import { Prisma } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** A request that never becomes a file: a payload of the wrong shape, or an id that belongs to another request. */
export interface RefusalInput {
  readonly jobId: string
  readonly code: string
  readonly class: string
  /** Free of secrets; cut at 2,000 characters. */
  readonly reason: string
  /** The file that the request named; kept if it exists, and unchanged. */
  readonly fileId?: string | undefined
  readonly domain?: string | undefined
  /** Default 1. */
  readonly generation?: number | undefined
  /** 32 bytes; of the request. */
  readonly requestFingerprint?: Uint8Array | undefined
  readonly owner?: string | undefined
}

/**
 * Writes a dead letter for a refused request. Idempotent: a second delivery of the same job changes nothing.
 * @returns whether a row was written
 */
export async function recordRefusal(db: Queryable, input: RefusalInput): Promise<boolean> {
  const fileId = input.fileId === undefined ? null : uuid(input.fileId, 'the file id')
  const domainId = input.domain === undefined ? null : domainToUuid(input.domain)
  const fingerprint = input.requestFingerprint === undefined ? null : Buffer.from(input.requestFingerprint)
  const reason = input.reason.replaceAll('\0', '').slice(0, 2_000)
  const rows = await db.query<{ id: string }>(Prisma.sql`
    INSERT INTO dead_letters (id, file_id, domain_id, generation, code, class, reason, job_id, request_fingerprint, owner)
    VALUES (${randomUUID()}::uuid, (SELECT id FROM files WHERE id = ${fileId}::uuid), ${domainId}::uuid,
      ${input.generation ?? 1}::int, ${input.code}, ${input.class}, ${reason},
      ${input.jobId.replaceAll('\0', '').slice(0, 500)}, ${fingerprint}::bytea, ${input.owner ?? null})
    ON CONFLICT DO NOTHING
    RETURNING id::text`)
  return rows.length === 1
}

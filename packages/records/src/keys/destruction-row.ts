import { Prisma } from '../generated/client.js'

/** One destruction of a master key version: scheduled, and then cancelled or carried out. */
export interface DestructionRow {
  readonly id: string
  readonly keyId: string
  readonly label: string
  readonly requestId: string | null
  /** Files that still need the key are given up. */
  readonly shred: boolean
  readonly reason: string
  /** The operators' statement about the HSM's backups that hold the key. */
  readonly backups: string
  readonly scheduledBy: string
  readonly scheduledAt: Date
  readonly executeAfter: Date
  /** By the database's clock, when the row was read. */
  readonly due: boolean
  /** A token may already have destroyed the key. */
  readonly begunAt: Date | null
  /** The key's uses when the destruction was scheduled. */
  readonly references: unknown
  readonly cancelledAt: Date | null
  readonly cancelledBy: string | null
  readonly carriedOutAt: Date | null
  /** Why the last try failed. */
  readonly lastRefusal: unknown
  /** Canonical JSON; the MAC covers it. */
  readonly record: Buffer | null
  readonly auditKeyVersion: number | null
  readonly mac: Buffer | null
  readonly storeKey: string | null
  readonly copiedAt: Date | null
}

export const DESTRUCTION_COLUMNS = Prisma.raw(`
  d.id, d.key_id AS "keyId", k.label, d.request_id AS "requestId", d.shred, d.reason, d.backups,
  d.scheduled_by AS "scheduledBy", d.scheduled_at AS "scheduledAt", d.execute_after AS "executeAfter",
  d.execute_after <= clock_timestamp() AS due, d.begun_at AS "begunAt", d.references, d.cancelled_at AS "cancelledAt",
  d.cancelled_by AS "cancelledBy", d.carried_out_at AS "carriedOutAt", d.last_refusal AS "lastRefusal", d.record,
  d.audit_key_version AS "auditKeyVersion", d.mac, d.store_key AS "storeKey", d.copied_at AS "copiedAt"`)

export interface RawDestruction extends Omit<DestructionRow, 'record' | 'mac'> {
  readonly record: Uint8Array | null
  readonly mac: Uint8Array | null
}

export function destructionRow({ record, mac, ...rest }: RawDestruction): DestructionRow {
  return {
    ...rest,
    record: record === null ? null : Buffer.from(record),
    mac: mac === null ? null : Buffer.from(mac),
  }
}

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
  /** What the operators said of the HSM's backups that hold the key. */
  readonly backups: string
  readonly scheduledBy: string
  readonly scheduledAt: Date
  readonly executeAfter: Date
  /** By the database's clock, when the row was read. */
  readonly due: boolean
  /** A token may have been told to destroy it. */
  readonly begunAt: Date | null
  /** What needed the key when it was scheduled. */
  readonly references: unknown
  readonly cancelledAt: Date | null
  readonly cancelledBy: string | null
  readonly carriedOutAt: Date | null
  /** Why it was not carried out when it was last tried. */
  readonly lastRefusal: unknown
  /** Canonical JSON; what the MAC is over. */
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

import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import type { KeyState } from '../db/terms.js'

/** A master key whose state contradicts the log's events on its destruction. */
export interface KeyBesideEvent {
  readonly label: string
  readonly state: KeyState
  /**
   * unexplained: DESTROYED, but no event says so. unrecorded: an event destroyed it, but the records hold no signed
   * record of that. back: an event destroyed it, but it is not DESTROYED.
   */
  readonly why: 'unexplained' | 'unrecorded' | 'back'
}

/** Compares every master key with the events that destroyed it, or found it destroyed when records were rebuilt. */
export async function keysWithAudit(
  db: Queryable,
): Promise<{ readonly looked: number; readonly found: readonly KeyBesideEvent[] }> {
  const rows = await db.query<Omit<KeyBesideEvent, 'why'> & { readonly why: KeyBesideEvent['why'] | null }>(Prisma.sql`
    SELECT k.label, k.state::text AS state,
      CASE
        WHEN k.state = 'DESTROYED' AND NOT e.destroyed AND NOT e.recovered THEN 'unexplained'
        WHEN k.state = 'DESTROYED' AND e.destroyed AND NOT EXISTS (
          SELECT FROM destructions d WHERE d.key_id = k.id AND d.carried_out_at IS NOT NULL AND d.mac IS NOT NULL) THEN 'unrecorded'
        WHEN k.state <> 'DESTROYED' AND (e.destroyed OR e.recovered) THEN 'back'
      END AS why
    FROM master_keys k CROSS JOIN LATERAL (
      SELECT coalesce(bool_or(l.action = 'keys.destroy'), FALSE) AS destroyed,
        coalesce(bool_or(l.action = 'recover.key' AND l.detail->>'state' = 'DESTROYED'), FALSE) AS recovered
      FROM audit_log l WHERE l.subject_kind = 'key' AND l.subject_id = k.id::text) e
    ORDER BY k.label`)
  return {
    looked: rows.length,
    found: rows.flatMap(({ why, ...row }) => (why === null ? [] : [{ ...row, why }])),
  }
}

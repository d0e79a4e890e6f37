import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import type { FileState } from '../db/terms.js'
import { COMMIT_ACTIONS } from '../attempts/commit-event.js'
import { DELETES, deletionOf } from '../deletion/deletion-event.js'

/** A file whose presence or absence contradicts the log. */
export interface FileBesideDeletion {
  readonly fileId: string
  readonly state: FileState
  /** The last event that deleted it, or else committed it; null when there is none. */
  readonly eventId: string | null
  /**
   * unexplained: DELETED, but no event deleted it. otherwise: DELETED in another way than any event says. back: an
   * event deleted it, but it is not DELETED. lost: an event committed it, but it is neither STORED nor DELETED. key:
   * STORED under a destroyed key, but no destruction gave files up. (Whether a shredding was signed is checked with its
   * event.)
   */
  readonly why: 'unexplained' | 'otherwise' | 'back' | 'lost' | 'key'
}

interface Row extends Omit<FileBesideDeletion, 'why'> {
  readonly why: FileBesideDeletion['why'] | null
}

/** Compares each file, after one id and at most `limit` of them, with the events that delete and commit files. */
export async function filesWithDeletions(
  db: Queryable,
  page: { readonly after: string; readonly limit: number },
): Promise<{ readonly looked: number; readonly last: string | null; readonly found: readonly FileBesideDeletion[] }> {
  const rows = await db.query<Row>(Prisma.sql`
    SELECT f.id::text AS "fileId", f.state::text AS state, coalesce(e.deleted, e.committed)::text AS "eventId",
      CASE
        WHEN f.state = 'DELETED' AND e.deleted IS NULL THEN 'unexplained'
        WHEN f.state = 'DELETED' AND e.as_said IS NOT TRUE THEN 'otherwise'
        WHEN f.state <> 'DELETED' AND e.deleted IS NOT NULL THEN 'back'
        WHEN f.state NOT IN ('STORED', 'DELETED') AND e.committed IS NOT NULL THEN 'lost'
        WHEN f.state = 'STORED' AND EXISTS (
          SELECT FROM attempts a JOIN master_keys k ON k.id IN (a.enc_key_id, a.sig_key_id)
            OR k.id = a.kek_key_id AND a.wrapped_nonces IS NOT NULL
          WHERE a.id = f.committed_attempt_id AND k.state = 'DESTROYED' AND NOT EXISTS (
            SELECT FROM destructions d WHERE d.key_id = k.id AND d.shred AND d.carried_out_at IS NOT NULL)) THEN 'key'
      END AS why
    FROM (SELECT id, state, deletion::text AS deletion, committed_attempt_id FROM files WHERE id > ${page.after}::uuid
      ORDER BY id LIMIT ${page.limit}::int) f
    CROSS JOIN LATERAL (
      SELECT max(l.id) FILTER (WHERE l.action IN ${DELETES}) AS deleted,
        max(l.id) FILTER (WHERE l.action IN (${Prisma.join([...COMMIT_ACTIONS])})) AS committed,
        bool_or(${deletionOf('l')} = f.deletion) AS as_said
      FROM audit_log l WHERE l.subject_kind = 'file' AND l.subject_id = f.id::text) e
    ORDER BY f.id`)
  return {
    looked: rows.length,
    last: rows.at(-1)?.fileId ?? null,
    found: rows.flatMap(({ why, ...row }) => (why === null ? [] : [{ ...row, why }])),
  }
}

import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { AttemptState } from '../db/terms.js'

/** An attempt that needs a master key, according to the records. */
export interface KeyReference {
  readonly fileId: string
  readonly attemptId: string
  readonly state: AttemptState
  readonly objectKey: string
}

/** The uses of a master key version in the records. */
export interface KeyReferences {
  readonly attempts: number
  readonly open: number
  readonly committed: number
  readonly superseded: number
  /** Distinct files of those attempts. */
  readonly files: number
  /** Files that are STORED and would be unreadable without it. */
  readonly lost: number
}

/**
 * An attempt needs its keys while the store may hold data of it that may have to be opened: it is OPEN, COMMITTED or
 * SUPERSEDED, was not seen to be gone, and its nonces are not deleted. Data of FAILED or ABANDONED attempts is covered
 * by the header scan.
 */
const MAY_BE_OPENED = Prisma.sql`
  a.state IN ('OPEN', 'COMMITTED', 'SUPERSEDED') AND a.swept_at IS NULL AND a.shredded_at IS NULL`

const NEEDS = (keyId: string): Prisma.Sql => Prisma.sql`
  (a.enc_key_id = ${keyId}::uuid OR a.sig_key_id = ${keyId}::uuid OR a.kek_key_id = ${keyId}::uuid) AND ${MAY_BE_OPENED}`

/** Counts the uses of a key. In a transaction that holds the key's row, the count stays true. */
export async function countKeyReferences(db: Queryable, keyId: string): Promise<KeyReferences> {
  const id = uuid(keyId, 'the key id')
  const [row] = await db.query<KeyReferences>(Prisma.sql`
    SELECT count(*)::float8 AS attempts, count(*) FILTER (WHERE a.state = 'OPEN')::float8 AS open,
      count(*) FILTER (WHERE a.state = 'COMMITTED')::float8 AS committed,
      count(*) FILTER (WHERE a.state = 'SUPERSEDED')::float8 AS superseded, count(DISTINCT a.file_id)::float8 AS files,
      count(*) FILTER (WHERE f.state = 'STORED' AND f.committed_attempt_id = a.id)::float8 AS lost
    FROM attempts a JOIN files f ON f.id = a.file_id WHERE ${NEEDS(id)}`)
  if (row === undefined) throw new TypeError('a count is one row')
  return row
}

/** The first uses, by file: read from an index in that order, however many there are. */
export function listKeyReferences(db: Queryable, keyId: string, limit: number): Promise<KeyReference[]> {
  const key = uuid(keyId, 'the key id')
  const first = (column: 'enc_key_id' | 'sig_key_id' | 'kek_key_id'): Prisma.Sql => Prisma.sql`
    (SELECT a.file_id, a.attempt_no, a.id, a.state, a.object_key FROM attempts a
      WHERE a.${Prisma.raw(column)} = ${key}::uuid AND ${MAY_BE_OPENED}
      ORDER BY a.file_id, a.attempt_no LIMIT ${limit}::int)`
  // A key has one role, so the three sets are disjoint.
  return db.query<KeyReference>(Prisma.sql`
    SELECT file_id AS "fileId", id AS "attemptId", state::text AS state, object_key AS "objectKey"
    FROM (${first('enc_key_id')} UNION ALL ${first('sig_key_id')} UNION ALL ${first('kek_key_id')}) AS listed
    ORDER BY file_id, attempt_no LIMIT ${limit}::int`)
}

/** The record of an object whose header names a key. */
export interface ObjectStanding {
  readonly attemptId: string
  /** Among the attempts that {@link countKeyReferences} counts. */
  readonly counted: boolean
  /** The key is not needed to open it: its nonces are wrapped under another KEK, or shredded. */
  readonly independent: boolean
  /** Its file is STORED under other keys, deleted or discarded: losing the object would lose no wanted data. */
  readonly keptElsewhere: boolean
  /** Its file is among those that {@link countKeyReferences} counts as lost. */
  readonly fileCounted: boolean
}

/**
 * Of the objects found in the store under a key, those whose attempt or file is in the records. Objects without an
 * answer are unknown to the records.
 */
export async function standingOfObjects(
  db: Queryable,
  keyId: string,
  found: readonly { readonly attemptId: string; readonly fileId: string }[],
): Promise<ReadonlyMap<string, ObjectStanding>> {
  if (found.length === 0) return new Map()
  const key = uuid(keyId, 'the key id')
  const pairs = found.map(
    ({ attemptId, fileId }) =>
      Prisma.sql`(${uuid(attemptId, 'the attempt id')}::uuid, ${uuid(fileId, 'the file id')}::uuid)`,
  )
  const rows = await db.query<ObjectStanding>(Prisma.sql`
    WITH found (attempt_id, file_id) AS (VALUES ${Prisma.join(pairs)})
    SELECT found.attempt_id::text AS "attemptId", coalesce(${NEEDS(key)}, FALSE) AS counted,
      coalesce(a.shredded_at IS NOT NULL OR (a.kek_key_id <> k.id AND k.role = 'KEK'), FALSE) AS independent,
      f.state IN ('DELETED', 'DISCARDED') OR (f.state = 'STORED' AND NOT under.needed) AS "keptElsewhere",
      f.state = 'STORED' AND under.needed AS "fileCounted"
    FROM found JOIN files f ON f.id = found.file_id JOIN master_keys k ON k.id = ${key}::uuid
      LEFT JOIN attempts a ON a.id = found.attempt_id AND a.file_id = found.file_id
      LEFT JOIN attempts c ON c.id = f.committed_attempt_id
      CROSS JOIN LATERAL (SELECT coalesce(k.id IN (c.enc_key_id, c.sig_key_id)
        OR k.id = c.kek_key_id, FALSE) AS needed) under`)
  return new Map(rows.map((row) => [row.attemptId, row]))
}

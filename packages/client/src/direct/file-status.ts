import type { ReadStates } from '@sealfleet/queue'
import type { FileState, FileStatus } from '../terms.js'
import type { Query } from './database.js'

/** A time as ISO 8601 in UTC, whatever the session's zone and style are. */
const iso = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

interface Row extends Omit<FileStatus, 'lastFailure' | 'length'> {
  readonly length: string | null
  readonly failureCode: string | null
  readonly failureAt: string | null
  readonly nextTryAt: string | null
}

/** @param fileId a UUID */
export async function readFile(query: Query, fileId: string): Promise<FileStatus | undefined> {
  const rows = await query(
    `SELECT f.id::text AS "fileId", f.state::text AS state, d.name AS domain, f.source_root AS root,
       f.source_path AS path, f.batch_id::text AS "batchId", ${iso('f.accepted_at')} AS "acceptedAt",
       ${iso('f.stored_at')} AS "storedAt", ${iso('f.deleted_at')} AS "deletedAt", a.plaintext_length::text AS length,
       f.last_attempt_no AS attempts, f.last_failure_code AS "failureCode", ${iso('f.last_failure_at')} AS "failureAt",
       CASE WHEN f.state = 'QUEUED' THEN ${iso('f.next_try_at')} END AS "nextTryAt"
     FROM files f JOIN key_domains d ON d.id = f.domain_id LEFT JOIN attempts a ON a.id = f.committed_attempt_id
     WHERE f.id = $1::uuid`,
    [fileId],
  )
  const [row] = rows as readonly Row[]
  if (row === undefined) return undefined
  const { length, failureCode, failureAt, nextTryAt, ...rest } = row
  // Of a stored file it is history.
  const failed = failureCode !== null && failureAt !== null && row.state !== 'STORED'
  return {
    ...rest,
    length: length === null ? null : Number(length),
    lastFailure: failed ? { code: failureCode, at: failureAt, nextTryAt } : null,
  }
}

/** States of many files in one statement; unknown files are left out. */
export function statesBy(query: Query): ReadStates {
  return async (fileIds) => {
    const rows = (await query(
      `SELECT f.id::text AS "fileId", f.state::text AS state,
         CASE WHEN f.state = 'DEAD' THEN f.last_failure_code END AS code
       FROM files f WHERE f.id = ANY ($1::uuid[])`,
      [fileIds],
    )) as readonly { readonly fileId: string; readonly state: FileState; readonly code: string | null }[]
    return rows.map(({ code, ...row }) => (code === null ? row : { ...row, code }))
  }
}

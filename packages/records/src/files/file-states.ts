import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { FileState } from '../db/terms.js'

export interface FileStateRow {
  readonly fileId: string
  readonly state: FileState
  readonly generation: number
  /** Of a dead file: the code of its last failure. */
  readonly code?: string
}

/** States of many files in one statement, in the order asked; unknown files are left out. */
export async function fileStates(db: Queryable, fileIds: readonly string[]): Promise<FileStateRow[]> {
  const rows = await db.query<{ fileId: string; state: FileState; generation: number; code: string | null }>(Prisma.sql`
    SELECT f.id AS "fileId", f.state::text AS state, f.generation,
      CASE WHEN f.state = 'DEAD' THEN f.last_failure_code END AS code
    FROM jsonb_array_elements_text(${JSON.stringify(fileIds.map((id) => uuid(id, 'the file id')))}::jsonb)
      WITH ORDINALITY AS asked (id, turn) JOIN files f ON f.id = asked.id::uuid
    ORDER BY asked.turn`)
  return rows.map(({ code, ...row }) => (code === null ? row : { ...row, code }))
}

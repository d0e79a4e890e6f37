import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { FileState, FileSource } from '../db/terms.js'

/** A request to keep a file. */
export interface FileRequest {
  readonly fileId: string
  readonly domain: string
  readonly source: FileSource
  /** 0 to 1,024 bytes. */
  readonly context: Uint8Array
  /** SHA-256 of the canonical request; 32 bytes. */
  readonly fingerprint: Uint8Array
  readonly batchId?: string | undefined
  /** Default 1. */
  readonly generation?: number | undefined
}

export interface Acceptance {
  readonly fileId: string
  /**
   * exists-same: the same request was accepted before. conflict: the id belongs to another request, which is unchanged.
   */
  readonly outcome: 'accepted' | 'exists-same' | 'conflict'
  /** The current state of the file; on a conflict, of the first one. */
  readonly state: FileState
  /** Greater than the requested one if the file was replayed. */
  readonly generation: number
}

/** Files per statement: enough to make the round trip cheap, few enough to stay within some megabytes. */
export const ACCEPT_CHUNK = 2_000

/**
 * Accepts files: writes their rows, unless they exist. Answers in the order of the requests; of two requests with one
 * id the first counts. Idempotent: after an error, call it again with the same list.
 * @throws RecordsError NOT_FOUND for an unknown domain or batch, INVALID for values that break the rules
 */
export async function acceptFiles(db: Queryable, requests: readonly FileRequest[]): Promise<Acceptance[]> {
  const outcomes: Acceptance[] = []
  for (let i = 0; i < requests.length; i += ACCEPT_CHUNK)
    outcomes.push(...(await acceptChunk(db, requests.slice(i, i + ACCEPT_CHUNK))))
  return outcomes
}

interface Row {
  readonly fileId: string
  readonly outcome: Acceptance['outcome'] | null
  readonly state: FileState | null
  readonly generation: number | null
}

async function acceptChunk(db: Queryable, requests: readonly FileRequest[]): Promise<Acceptance[]> {
  const list = JSON.stringify(requests.map(columns))
  // The answer's part of the statement sees files as of its beginning; a row that another session wrote meanwhile
  // appears as neither inserted nor present. A second call sees it.
  for (let round = 0; round < 5; round++) {
    const rows = await db.query<Row>(statement(list))
    if (rows.every((row) => row.outcome !== null && row.state !== null)) return rows as Acceptance[]
  }
  throw new RecordsError('DB_UNAVAILABLE', 'others keep writing the same files; try again')
}

function statement(list: string): Prisma.Sql {
  return Prisma.sql`
    WITH asked AS MATERIALIZED (
      SELECT a.*, decode(a.context_hex, 'hex') AS context, decode(a.fingerprint_hex, 'hex') AS fingerprint,
        row_number() OVER (PARTITION BY a.file_id ORDER BY a.ord) AS turn
      FROM jsonb_to_recordset(${list}::jsonb) AS a (ord int, file_id uuid, domain_id uuid, root text, path text,
        context_hex text, fingerprint_hex text, batch_id uuid, generation int)
    ), inserted AS (
      INSERT INTO files (id, domain_id, source_root, source_path, context, fingerprint, batch_id, generation)
      SELECT file_id, domain_id, root, path, context, fingerprint, batch_id, generation FROM asked WHERE turn = 1
      ORDER BY file_id
      ON CONFLICT (id) DO NOTHING
      RETURNING id, fingerprint, state, generation
    )
    SELECT a.file_id::text AS "fileId",
      CASE WHEN a.turn = 1 AND i.id IS NOT NULL THEN 'accepted'
        WHEN coalesce(i.fingerprint, f.fingerprint) = a.fingerprint THEN 'exists-same'
        WHEN coalesce(i.fingerprint, f.fingerprint) IS NOT NULL THEN 'conflict' END AS outcome,
      coalesce(i.state, f.state)::text AS state, coalesce(i.generation, f.generation) AS generation
    FROM asked a LEFT JOIN inserted i ON i.id = a.file_id LEFT JOIN files f ON f.id = a.file_id
    ORDER BY a.ord`
}

function columns(request: FileRequest, ord: number): Record<string, unknown> {
  return {
    ord,
    file_id: uuid(request.fileId, 'the file id'),
    domain_id: domainToUuid(request.domain),
    root: request.source.root,
    path: request.source.path,
    context_hex: Buffer.from(request.context).toString('hex'),
    fingerprint_hex: Buffer.from(request.fingerprint).toString('hex'),
    batch_id: request.batchId ?? null,
    generation: request.generation ?? 1,
  }
}

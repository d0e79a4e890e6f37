import { CodedError } from '@sealfleet/failures'
import { fileIdFor, ingestJobId, isNonNilUuid } from '../ingest/ids.js'
import { conflictResult, finalOutcome, inOrder, prepareChunk, type Prepared } from './prepare.js'
import type { AcceptOutcome, EnqueueResult, FileState, IngestRequest } from './terms.js'

/**
 * A client of node-postgres inside a transaction (after BEGIN). A pool is not one: its statements use any connection.
 */
export interface PgTransaction {
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>
}

/** The argument of `prisma.$transaction(async (tx) => …)`. */
export interface PrismaTransaction {
  $queryRawUnsafe(text: string, ...values: unknown[]): PromiseLike<unknown>
}

export interface EnqueueIngestOptions {
  /** the batch they belong to; it exists already, or is made when `batch` is given */
  readonly batchId?: string | undefined
  /** makes the batch unless it exists; without `batchId` its id is `batchIdFor(name)` */
  readonly batch?: { readonly name: string; readonly expected?: number | undefined } | undefined
}

/** Files per statement: a few hundred kilobytes, some ten milliseconds. */
const STATEMENT_FILES = 1_000

/** The id of a batch from its name: a UUID stays as it is, a name always gives the same id. */
export function batchIdFor(nameOrId: string): string {
  const lower = nameOrId.toLowerCase()
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(lower) ? lower : fileIdFor(`sealfleet batch\0${nameOrId}`)
}

/**
 * Enqueues files inside the producer's own transaction: they are accepted when it commits; after a rollback no trace
 * remains. This writes nothing to Redis; a relay (the maintenance process) brings the jobs there within seconds of the
 * commit. Calls the SQL function `sealfleet_enqueue` of the records' database.
 *
 * Many requests: a bad one doesn't stop the others, and each has its result, in order. Outcomes as for `IngestClient`:
 * `queued`, `already-queued` (a repeat that is in progress; if its job was lost, this brings another), `stored`,
 * `dead`, `discarded`, `deleted`, `conflict`, `invalid`. One request: its result, or the error.
 *
 * @example
 * await client.query('BEGIN')
 * await client.query('INSERT INTO invoices …')
 * const { fileId } = await enqueueIngest(client, { root: 'inbox', path: '2026/a.pdf', id: 'invoice 17' })
 * await client.query('COMMIT')
 * @throws {CodedError} PAYLOAD_INVALID or REQUEST_CONFLICT for a single request, PAYLOAD_INVALID for a batch id of
 * another shape; the transaction can continue
 * @throws {TypeError} for a pool, or for Prisma's client itself: neither is a transaction
 * @throws the driver's own error (an unknown domain or batch: SQLSTATE 23503); PostgreSQL then only accepts a rollback
 */
export async function enqueueIngest(
  tx: PgTransaction | PrismaTransaction,
  request: IngestRequest,
  options?: EnqueueIngestOptions,
): Promise<EnqueueResult>
export async function enqueueIngest(
  tx: PgTransaction | PrismaTransaction,
  requests: readonly IngestRequest[],
  options?: EnqueueIngestOptions,
): Promise<readonly EnqueueResult[]>
export async function enqueueIngest(
  tx: PgTransaction | PrismaTransaction,
  asked: IngestRequest | readonly IngestRequest[],
  options: EnqueueIngestOptions = {},
): Promise<EnqueueResult | readonly EnqueueResult[]> {
  const query = statements(tx)
  if (isMany(asked)) return enqueueMany(query, asked, options)
  const [result] = await enqueueMany(query, [asked], options)
  if (result === undefined) throw new Error('one request gives one result')
  if (result.error !== undefined) throw result.error
  return result
}

type Query = (text: string, ...values: unknown[]) => Promise<readonly unknown[]>

async function enqueueMany(
  query: Query,
  requests: readonly IngestRequest[],
  { batchId, batch }: EnqueueIngestOptions,
): Promise<readonly EnqueueResult[]> {
  const id = batchId ?? (batch && batchIdFor(batch.name))
  if (id !== undefined && !isNonNilUuid(id))
    throw new CodedError('PAYLOAD_INVALID', 'the batch id is not a lower-case UUID')
  const chunk = prepareChunk(requests, id)
  if (batch !== undefined) {
    await query('SELECT sealfleet_batch($1::uuid, $2::text, $3::int)', id, batch.name, batch.expected ?? null)
  }
  // In the order of their ids across statements too: two producers with the same files wait, and don't deadlock.
  const files = [...chunk.files].sort((a, b) => (a.job.fileId < b.job.fileId ? -1 : 1))
  const answers = new Map<string, AcceptOutcome>()
  for (let at = 0; at < files.length; at += STATEMENT_FILES) {
    await accept(query, files.slice(at, at + STATEMENT_FILES), answers)
  }
  return inOrder(
    requests,
    chunk,
    chunk.files.map((file) => resultOf(file, answers.get(file.job.fileId))),
  )
}

interface Row {
  readonly fileId: string
  readonly outcome: AcceptOutcome['outcome']
  readonly state: FileState
  readonly generation: number
}

async function accept(query: Query, files: readonly Prepared[], answers: Map<string, AcceptOutcome>): Promise<void> {
  const list = files.map(({ job, accept: { batchId } }) => (batchId === undefined ? job : { ...job, batchId }))
  const rows = await query(
    'SELECT file_id::text AS "fileId", outcome, state, generation FROM sealfleet_enqueue($1::jsonb)',
    JSON.stringify(list),
  )
  for (const { fileId, outcome, state, generation } of rows as readonly Row[]) {
    answers.set(fileId, { outcome, state, generation })
  }
}

function resultOf({ request, job: { fileId } }: Prepared, answer: AcceptOutcome | undefined): EnqueueResult {
  if (answer === undefined) throw new Error('every file has an answer')
  if (answer.outcome === 'conflict') return conflictResult(request, fileId)
  const final = finalOutcome(answer)
  if (final !== undefined) return { request, fileId, outcome: final }
  const jobId = ingestJobId(fileId, answer.generation)
  return { request, fileId, jobId, outcome: answer.outcome === 'accepted' ? 'queued' : 'already-queued' }
}

/** @throws TypeError for a pool or Prisma's client itself: each statement would silently be its own transaction. */
function statements(tx: PgTransaction | PrismaTransaction): Query {
  if ('idleCount' in tx) throw new TypeError('a pool is no transaction: take a client of it, and send BEGIN first')
  if ('$connect' in tx) throw new TypeError('Prisma’s client is no transaction: pass what $transaction hands over')
  if ('$queryRawUnsafe' in tx) {
    return async (text, ...values) => (await tx.$queryRawUnsafe(text, ...values)) as readonly unknown[]
  }
  return async (text, ...values) => (await tx.query(text, values)).rows
}

function isMany(asked: IngestRequest | readonly IngestRequest[]): asked is readonly IngestRequest[] {
  return Array.isArray(asked)
}

/**
 * `@sealfleet/client/direct`: hands in files through the fleet's own Postgres and Redis, for systems that reach them.
 * It needs `pg`, and `bullmq` and `ioredis` where a `redisUrl` is given; each is loaded only then.
 */
import { openIngestClient, type OwnedIngestClient } from '@sealfleet/queue'
import { acceptBy } from './direct/accept.js'
import { directClient } from './direct/client.js'
import { coded } from './direct/coded.js'
import { openDatabase, type Database, type Query } from './direct/database.js'
import type { DirectClient, DirectClientOptions } from './direct/terms.js'

export type {
  DirectClient,
  DirectClientOptions,
  EnqueueManyOptions,
  PgPool,
  PgTransaction,
  PrismaTransaction,
} from './direct/terms.js'
export { SealfleetError } from './sealfleet-error.js'
export type {
  AcceptedFile,
  BatchName,
  EnqueueAnswer,
  EnqueueOutcome,
  FileEnd,
  FileState,
  FileStatus,
  NewFile,
  WaitOptions,
} from './terms.js'

/**
 * Connects a client. With a `redisUrl` it refuses a Redis that may evict keys, and queues of another fleet than the
 * database's.
 *
 * @example
 * await using client = await openDirectClient({ databaseUrl, redisUrl })
 * const { fileId } = await client.enqueue({ root: 'inbox', path: '2026/a.pdf', id: 'invoice 17' })
 * @throws {SealfleetError} CONFIG_INVALID (an address beyond this machine without TLS; a driver that is not installed),
 * DB_UNAVAILABLE, DB_ACCESS_DENIED, DB_SCHEMA; REDIS_UNAVAILABLE, REDIS_ACCESS_DENIED, REDIS_TLS, REDIS_UNSUITABLE,
 * FLEET_MISMATCH
 */
export async function openDirectClient(options: DirectClientOptions): Promise<DirectClient> {
  let database: Database | undefined
  try {
    database = await openDatabase(options)
    const fleet = await fleetOf(database.query)
    return directClient(database, await openQueue(options, fleet, database.query))
  } catch (error) {
    await database?.close()
    throw coded(error)
  }
}

/** The id of the fleet that the database belongs to. It also shows that this is a fleet's database. */
async function fleetOf(query: Query): Promise<string> {
  const [row] = (await query('SELECT id::text AS id FROM fleet', [])) as readonly { readonly id: string }[]
  if (row === undefined) throw new TypeError('the database has no fleet row, which a migration makes')
  return row.id
}

async function openQueue(
  { redisUrl, prefix, redisTls, allowPlaintext, onError }: DirectClientOptions,
  fleet: string,
  query: Query,
): Promise<OwnedIngestClient | undefined> {
  if (redisUrl === undefined) return undefined
  try {
    return await openIngestClient({
      redisUrl,
      fleet,
      accept: acceptBy(query),
      connectionName: 'sealfleet-client',
      ...(prefix !== undefined && { prefix }),
      ...(redisTls !== undefined && { tls: redisTls }),
      ...(allowPlaintext !== undefined && { allowPlaintext }),
      ...(onError !== undefined && { onError }),
    })
  } catch (error) {
    throw coded(error, 'redis')
  }
}

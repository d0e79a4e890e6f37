import { PrismaPg } from '@prisma/adapter-pg'
import { acceptFiles, fileStates } from '@sealfleet/records/files'
import { ensureDomain } from '@sealfleet/records/fleet'
import { openRecords, type FileRow, type Records } from '@sealfleet/records'
import { relayOutbox } from '@sealfleet/records/upkeep'
import { freshDatabase, freshPrefix, redisUrl } from '@sealfleet/testkit'
import pg from 'pg'
import { PrismaClient } from '../../records/dist/generated/client.js'
import { openIngestClient, type OwnedIngestClient } from '../src/client/ingest-client.js'
import { deliverJobs } from '../src/client/deliver.js'
import type { ReadStates } from '../src/client/terms.js'

/** A producer's side of the fleet, on real servers: the records, SQL past them, a queue of its own, and the relay. */
export interface OutboxHouse extends AsyncDisposable {
  readonly url: string
  readonly records: Records
  readonly sql: pg.Pool
  /** A client that the producer has made for itself. */
  readonly prisma: PrismaClient
  readonly states: ReadStates
  readonly ingest: OwnedIngestClient
  /** One round of the relay; `after` runs between the delivery and the commit. */
  relay(limit: number, after?: () => Promise<void>): Promise<number>
  /** Rounds until nothing is left. */
  drain(): Promise<void>
  /** Data of the jobs that wait, by file id. */
  jobs(): Promise<ReadonlyMap<string, unknown>>
}

export async function openOutboxHouse(): Promise<OutboxHouse> {
  const database = await freshDatabase()
  const records = await openRecords(database.url)
  await ensureDomain(records, { id: 'default' })
  const sql = new pg.Pool({ connectionString: database.url, max: 4 })
  // The database is dropped by force while connections may still be closing.
  sql.on('error', () => undefined)
  sql.on('connect', (client) => client.on('error', () => undefined))
  const prisma = new PrismaClient({
    adapter: new PrismaPg({ connectionString: database.url }, { onConnectionError: () => undefined }),
  })
  const ingest = await openIngestClient({
    redisUrl: redisUrl(),
    prefix: freshPrefix(),
    accept: (files) => acceptFiles(records, files),
  })
  const states: ReadStates = (fileIds) => fileStates(records, fileIds)
  const relay: OutboxHouse['relay'] = (limit, after) =>
    relayOutbox(
      records,
      async (files: readonly FileRow[]) => {
        await deliverJobs(ingest.queue, files, states)
        await after?.()
      },
      { limit },
    )
  return {
    url: database.url,
    records,
    sql,
    prisma,
    states,
    ingest,
    relay,
    drain: async () => {
      while ((await relay(500)) > 0);
    },
    jobs: async () => new Map((await ingest.queue.getWaiting()).map(({ data }) => [data.fileId, data])),
    async [Symbol.asyncDispose]() {
      await ingest.queue.obliterate({ force: true })
      await ingest.close()
      await records.close()
      await prisma.$disconnect()
      await sql.end()
      await database[Symbol.asyncDispose]()
    },
  }
}

import type { ConnectionOptions as TlsConnectionOptions } from 'node:tls'
import type { AcceptedFile, BatchName, EnqueueAnswer, FileEnd, FileStatus, NewFile, WaitOptions } from '../terms.js'

/** As much of a pool of node-postgres as is used. */
export interface PgPool {
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>
  connect(): Promise<PgTransaction & { release(error?: Error | boolean): void }>
}

/** A client of node-postgres inside a transaction (after BEGIN). A pool is not one: its statements use any connection. */
export interface PgTransaction {
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>
}

/** The argument of `prisma.$transaction(async (tx) => …)`. */
export interface PrismaTransaction {
  $queryRawUnsafe(text: string, ...values: unknown[]): PromiseLike<unknown>
}

export type DirectClientOptions = (
  | {
      /** `postgres://user:password@host:5432/database`; beyond this machine with `sslmode=verify-full` */
      readonly databaseUrl: string
      readonly pool?: undefined
    }
  | {
      /** a pool of node-postgres, which stays yours: closing the client leaves it open */
      readonly pool: PgPool
      readonly databaseUrl?: undefined
    }
) & {
  /**
   * `redis://host:6379`, beyond this machine `rediss://`. With it, a file's job is in Redis when the call returns.
   * Without it nothing but Postgres is needed, and the maintenance process brings the job moments later.
   */
  readonly redisUrl?: string | undefined
  /** prefix of the queues, if the operators have set SEALFLEET_QUEUE_PREFIX; default `{sealfleet}` */
  readonly prefix?: string | undefined
  /** for `rediss:`: the trusted authority, and a certificate of your own, in Node's terms */
  readonly redisTls?: Pick<TlsConnectionOptions, 'ca' | 'cert' | 'key' | 'servername'> | undefined
  /** allows Redis and Postgres beyond this machine without TLS, where passwords can be read on their way; default false */
  readonly allowPlaintext?: boolean | undefined
  /** called with errors of connections that are idle; the next call tries again */
  readonly onError?: ((error: Error) => void) | undefined
}

export interface EnqueueManyOptions {
  /** the batch they belong to; it is made unless it exists */
  readonly batch?: BatchName | undefined
  /** files in one statement, 1 to 1,000; default 500 */
  readonly chunkSize?: number | undefined
  /** looked at before each statement */
  readonly signal?: AbortSignal | undefined
}

/** Hands in files through the fleet's database and queue. */
export interface DirectClient extends AsyncDisposable {
  /**
   * Hands in one file. Resolves once it is accepted, and with a `redisUrl` once it has its job.
   *
   * Asking again is always safe: the same id with the same request makes a second job only where the first was lost.
   * @throws {SealfleetError} PAYLOAD_INVALID, REQUEST_CONFLICT, NOT_FOUND (its key domain); DB_UNAVAILABLE,
   * DB_ACCESS_DENIED; REDIS_UNAVAILABLE: it may be accepted and has no job yet, so ask again, or leave it to maintenance
   */
  enqueue(file: NewFile, options?: { readonly batch?: BatchName | undefined }): Promise<AcceptedFile>

  /**
   * Hands in any number of files, of an array or a stream, in chunks; answers come in their order, each once its chunk
   * is accepted. One bad file stops no other. No chunk is taken from `files` before the answers of the one before the
   * last are read, so memory stays small; nothing happens until the first answer is asked for.
   * @throws {SealfleetError} as `enqueue`, for what stops all of them; the signal's reason when it aborts
   */
  enqueueMany(
    files: Iterable<NewFile> | AsyncIterable<NewFile>,
    options?: EnqueueManyOptions,
  ): AsyncGenerator<EnqueueAnswer, void, undefined>

  /**
   * Hands in files inside a transaction of your own, in the fleet's database: they are accepted when **you** commit, and
   * after a rollback nothing remains. Redis is not written; the maintenance process brings the jobs after the commit.
   * One file: its answer, or the error (your transaction can continue). Many: an answer for each, in their order.
   * @throws {SealfleetError} as `enqueue`. After an error of the database itself, Postgres accepts only a rollback
   * @throws {TypeError} for a pool, or for Prisma's client itself: neither is a transaction
   */
  enqueueIn(
    tx: PgTransaction | PrismaTransaction,
    file: NewFile,
    options?: { readonly batch?: BatchName | undefined },
  ): Promise<AcceptedFile>
  enqueueIn(
    tx: PgTransaction | PrismaTransaction,
    files: readonly NewFile[],
    options?: { readonly batch?: BatchName | undefined },
  ): Promise<readonly EnqueueAnswer[]>

  /** What the fleet knows of a file, by its id or by yours; undefined: nothing. @throws {SealfleetError} */
  get(id: string): Promise<FileStatus | undefined>

  /**
   * Waits until a file has ended. An outage of the database is sat out, and an unknown file is waited for, too.
   * @param id the file's id, or yours
   * @throws the signal's reason when it aborts; SealfleetError for what is no outage
   */
  wait(id: string, options?: WaitOptions): Promise<FileEnd>

  /** As `wait`, for many: resolves when all have ended, with how each did, by file id. */
  waitForAll(ids: Iterable<string>, options?: WaitOptions): Promise<ReadonlyMap<string, FileEnd>>

  /** Closes what the client has opened. */
  close(): Promise<void>
}

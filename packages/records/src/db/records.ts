import pg from 'pg'
import { poolConfig, type ConnectionOptions } from './connection.js'
import { refuseDifferences, sessionDifferences } from './session.js'
import { ExactTimesPg } from './times.js'
import { otherSchema } from './other-schema.js'
import { recordsError } from './driver-error.js'
import { RecordsError } from './errors.js'
import { PrismaClient, type Prisma } from '../generated/client.js'
import { SCHEMA_VERSION } from './schema-version.js'
import { statementNames } from './statement-names.js'

/** The models of prisma/schema.prisma, to be read. Changes are SQL, one statement each. */
export type TypedReads = {
  readonly [Model in Uncapitalize<Prisma.ModelName>]: Pick<
    PrismaClient[Model],
    'findUnique' | 'findFirst' | 'findMany' | 'count' | 'aggregate' | 'groupBy'
  >
}

/** Where a statement runs: the pool, or one transaction. */
export interface Queryable {
  /** Rows of one SQL statement. @throws RecordsError */
  query<Row>(sql: Prisma.Sql): Promise<Row[]>
  /** One of Prisma's typed reads. With relations it is one statement per relation. @throws RecordsError */
  read<T>(run: (models: TypedReads) => Promise<T>): Promise<T>
}

/**
 * The open records. Each statement is its own function with this as its first argument. Dispose (or `close`) ends the
 * connections.
 */
export class Records implements Queryable, AsyncDisposable {
  readonly #prisma: PrismaClient
  readonly #pool: pg.Pool

  constructor(prisma: PrismaClient, pool: pg.Pool) {
    this.#prisma = prisma
    this.#pool = pool
  }

  query<Row>(sql: Prisma.Sql): Promise<Row[]> {
    return rowsOf(this.#prisma, sql)
  }

  read<T>(run: (models: TypedReads) => Promise<T>): Promise<T> {
    return readOf(() => run(this.#prisma))
  }

  /**
   * Runs statements in one transaction (READ COMMITTED); an error rolls back. For operations that one statement cannot
   * express. An error of `run` itself passes unchanged; a failure of the transaction as a whole is a RecordsError.
   */
  async transaction<T>(run: (tx: Queryable) => Promise<T>, options: { readonly timeoutMs?: number } = {}): Promise<T> {
    let thrown: { readonly error: unknown } | undefined
    try {
      return await this.#prisma.$transaction(
        async (tx) => {
          try {
            return await run({ query: (sql) => rowsOf(tx, sql), read: (read) => readOf(() => read(tx)) })
          } catch (error) {
            thrown = { error }
            throw error
          }
        },
        { maxWait: 5_000, timeout: options.timeoutMs ?? 15_000 },
      )
    } catch (error) {
      throw thrown === undefined ? recordsError(error) : thrown.error
    }
  }

  /**
   * The same records, but every transaction is rolled back at its end: callers run all of their statements, meet every
   * refusal, and change nothing. Statements outside of a transaction do write: callers of this must use none.
   */
  rehearsal(): Records {
    return new Rehearsal(this.#prisma, this.#pool)
  }

  async close(): Promise<void> {
    await this.#prisma.$disconnect()
    if (!this.#pool.ended) await this.#pool.end()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Carries a result out of a transaction that is rolled back. */
class Rehearsed<T> extends Error {
  override readonly name = 'Rehearsed'
  readonly result: T

  constructor(result: T) {
    super('a rehearsal is rolled back')
    this.result = result
  }
}

class Rehearsal extends Records {
  override async transaction<T>(
    run: (tx: Queryable) => Promise<T>,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<T> {
    try {
      return await super.transaction(async (tx): Promise<T> => {
        throw new Rehearsed(await run(tx))
      }, options)
    } catch (error) {
      if (error instanceof Rehearsed) return error.result as T
      throw error
    }
  }
}

async function rowsOf<Row>(client: Pick<PrismaClient, '$queryRaw'>, sql: Prisma.Sql): Promise<Row[]> {
  try {
    return await client.$queryRaw<Row[]>(sql)
  } catch (error) {
    throw recordsError(error, sql.sql)
  }
}

async function readOf<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    // All that a missing right can be about: reading.
    throw recordsError(error, 'SELECT')
  }
}

/**
 * Connects, and checks that the tables are of this version or later.
 * @throws RecordsError DB_URL, DB_UNAVAILABLE, DB_ACCESS_DENIED, or DB_SCHEMA (then: `npm run migrate`)
 */
export async function openRecords(databaseUrl: string, options: ConnectionOptions = {}): Promise<Records> {
  const { address, pool: config } = poolConfig(databaseUrl, options)
  const pool = new pg.Pool(config)
  // An idle connection that the server ends is no failure: the pool opens another. Without a listener it would end the
  // process.
  pool.on('error', () => undefined)
  // The pool listens to idle connections alone. If a connection ends while it is checked out (between two statements of
  // a transaction, or while it closes), its statement fails; without its own listener it would end the process too.
  pool.on('connect', (client) => client.on('error', () => undefined))
  const adapter = new ExactTimesPg(pool, {
    schema: address.schema,
    onConnectionError: () => undefined,
    // A pooler in transaction mode gives each transaction a session of its own choice, which knows no names of ours.
    ...(!address.pooled && { statementNameGenerator: statementNames() }),
  })
  const records = new Records(new PrismaClient({ adapter, errorFormat: 'minimal' }), pool)
  try {
    refuseDifferences(await sessionDifferences(pool, address.schema), address)
    await assertSchema(pool, address.schema)
    return records
  } catch (error) {
    await records.close()
    throw recordsError(error)
  }
}

async function assertSchema(pool: pg.Pool, schema: string): Promise<void> {
  const lacking = `the database lacks migration ${SCHEMA_VERSION}`
  const table = `${pg.escapeIdentifier(schema)}._prisma_migrations`
  const { rows: found } = await pool.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [table])
  if (found[0]?.there !== true) {
    const other = await otherSchema(pool, schema)
    throw new RecordsError('DB_SCHEMA', other === undefined ? lacking : `${lacking} in schema "${schema}"`, {
      fix:
        other === undefined
          ? 'run `npm run migrate`'
          : `the tables are in "${other}": add schema=${encodeURIComponent(other)} to the URL`,
    })
  }
  const { rows } = await pool.query<{ name: string }>(
    `SELECT migration_name AS name FROM _prisma_migrations
     WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL AND migration_name >= $1`,
    [SCHEMA_VERSION],
  )
  if (!rows.some((row) => row.name === SCHEMA_VERSION))
    throw new RecordsError('DB_SCHEMA', lacking, { fix: 'run `npm run migrate`' })
}

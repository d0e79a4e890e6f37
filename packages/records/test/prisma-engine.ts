import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { PrismaPg } from '@prisma/adapter-pg'
import {
  bindMigrationAwareSqlAdapterFactory,
  ColumnTypeEnum,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils'
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg'
import pg from 'pg'
import type { MigrationList, SchemaEngine } from '@prisma/schema-engine-wasm/schema_engine_bg'
import { MIGRATIONS_DIR, type MigrationFile } from '../src/migrate/migration-files.js'

/** Node's typings leave WebAssembly to the DOM library, which has no place here. */
interface WebAssemblyHost {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: { __wbindgen_start: () => void } } }>
}

let loading: Promise<void> | undefined
let panic: Error | undefined

/** Where a panicking engine leaves its last words. */
const panicRegistry = {
  set_message: (message: string): void => {
    panic = new Error(message)
  },
}

/** Prisma's own schema engine, from npm as WebAssembly: nothing is downloaded. Loaded once a process. */
function loadEngine(): Promise<void> {
  loading ??= (async () => {
    Object.assign(globalThis, { PRISMA_WASM_PANIC_REGISTRY: panicRegistry })
    const glue = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg')
    const bytes = await readFile(path.join(path.dirname(glue), 'schema_engine_bg.wasm'))
    const host = (globalThis as unknown as { WebAssembly: WebAssemblyHost }).WebAssembly
    const { instance } = await host.instantiate(bytes, { './schema_engine_bg.js': importsOf(bindings) })
    bindings.__wbg_set_wasm(instance.exports)
    instance.exports.__wbindgen_start()
  })()
  return loading
}

/** The engine never clears its time-outs: the one on its lock would keep a finished process alive for ten seconds. */
function importsOf(functions: object): object {
  const patient = Object.entries(functions).map(([name, value]) =>
    name.startsWith('__wbg_setTimeout_')
      ? [name, (run: () => void, ms: number) => setTimeout(run, ms).unref()]
      : [name, value as unknown],
  )
  return Object.fromEntries(patient) as object
}

export interface Engine extends AsyncDisposable {
  readonly schema: SchemaEngine
  /** What is behind the engine's last error: the driver's, or the engine's own panic. */
  lastDriverError(): unknown
}

/**
 * Opens the engine on one database. Its shadow databases are databases of their own, made and dropped by us.
 * @param config connection fields (never a URL, see `driverFields`)
 * @param schema text of schema.prisma, where the engine must know the provider or compare with it
 */
export async function openEngine(config: pg.PoolConfig, schema: string): Promise<Engine> {
  await loadEngine()
  let driverError: unknown
  const factory = new ScriptAtOnceFactory(config, (error) => (driverError = error))
  const engine = await bindings.SchemaEngine.new(
    { datamodels: [['schema.prisma', schema]] },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(factory),
  )
  return {
    schema: engine,
    lastDriverError: () => driverError ?? panic,
    async [Symbol.asyncDispose]() {
      engine.free()
      await factory.close()
    },
  }
}

const INTERNAL_CHAR = 18
const TEXT = 25

/**
 * The engine describes CHECK constraints by a query with a column of Postgres' internal type "char", which the adapter does
 * not know (`Column type 'char' could not be deserialized`, 7.10.0 on 2026-11-23). The pool calls such a column text, so
 * that the adapter reads it, and the adapter then calls it a character, which the engine insists on.
 */
async function connectReadingChar(pool: pg.Pool): Promise<SqlDriverAdapter> {
  const query = pool.query.bind(pool) as (input: string | pg.QueryConfig) => Promise<pg.QueryResult>
  const charColumns = new Map<string, number[]>()
  Object.assign(pool, {
    query: async (input: string | pg.QueryConfig) => {
      const result = await query(input)
      if (typeof input === 'string') return result
      for (const [index, field] of result.fields.entries()) {
        if (field.dataTypeID !== INTERNAL_CHAR) continue
        field.dataTypeID = TEXT
        charColumns.set(input.text, [...(charColumns.get(input.text) ?? []), index])
      }
      return result
    },
  })
  const adapter = await new PrismaPg(pool).connect()
  const queryRaw = adapter.queryRaw.bind(adapter)
  adapter.queryRaw = async (asked) => {
    const set = await queryRaw(asked)
    for (const index of charColumns.get(asked.sql) ?? []) set.columnTypes[index] = ColumnTypeEnum.Character
    return set
  }
  return adapter
}

/**
 * The adapter's executeScript cuts a script at every semicolon and runs the pieces on whatever connection is free: a
 * function's body breaks, and a failed migration stays half done. Here a script goes to the server whole, as one simple
 * query, which Postgres runs as one transaction.
 */
class ScriptAtOnceFactory implements SqlMigrationAwareDriverAdapterFactory {
  readonly provider = 'postgres'
  readonly adapterName = '@prisma/adapter-pg'
  readonly #config: pg.PoolConfig
  readonly #onError: (error: unknown) => void
  readonly #closers: (() => Promise<void>)[] = []

  constructor(config: pg.PoolConfig, onError: (error: unknown) => void) {
    this.#config = { ...config, max: 1 }
    this.#onError = onError
  }

  connect(): Promise<SqlDriverAdapter> {
    return this.#open(this.#config)
  }

  async connectToShadowDb(): Promise<SqlDriverAdapter> {
    const database = `sealfleet_shadow_${globalThis.crypto.randomUUID().replaceAll('-', '')}`
    await this.#once(`CREATE DATABASE "${database}" TEMPLATE template0`)
    return this.#open({ ...this.#config, database }, () =>
      this.#once(`DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`),
    )
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
  }

  async #open(config: pg.PoolConfig, afterwards?: () => Promise<void>): Promise<SqlDriverAdapter> {
    const pool = new pg.Pool(config)
    const adapter = await connectReadingChar(pool)
    let open = true
    const close = async (): Promise<void> => {
      if (!open) return
      open = false
      await pool.end()
      await afterwards?.()
    }
    this.#closers.push(close)
    adapter.executeScript = async (script: string): Promise<void> => {
      try {
        await pool.query(script)
      } catch (error) {
        this.#onError(error)
        throw error
      }
    }
    adapter.dispose = close
    return adapter
  }

  async #once(sql: string): Promise<void> {
    const client = new pg.Client(this.#config)
    await client.connect()
    try {
      await client.query(sql)
    } finally {
      await client.end()
    }
  }
}

/** Migrations as Prisma's engine takes them. */
export function asMigrationList(files: readonly MigrationFile[], dir: string = MIGRATIONS_DIR): MigrationList {
  return {
    baseDir: dir,
    lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
    shadowDbInitScript: '',
    migrationDirectories: files.map(({ name, script }) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: script } },
    })),
  }
}

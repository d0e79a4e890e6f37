import type pg from 'pg'
import { RecordsError } from '../db/errors.js'

/** Our lock, and the lock of Prisma's own engine: `prisma migrate deploy` and we exclude each other. */
const LOCKS = [0x5ea1f1e7, 72707369] as const

/** Silent part of a wait, and at most half of it. */
const SILENT_MS = 1_500

export interface TurnOptions {
  /** Of the transaction, by name: behind a pooler a session keeps none of its own. */
  readonly settings: Readonly<Record<string, string>>
  /** Time limit of the wait for another process that migrates this database. */
  readonly timeoutMs: number
  /** Called once when the wait takes longer than a moment, with the holder of the lock. */
  readonly onWait?: ((holder: string) => void) | undefined
}

/**
 * Begins a transaction that holds the lock of migrations until its end. The lock belongs to the transaction, not to the
 * session: a pooler that gives each transaction another session keeps none behind.
 * @throws RecordsError DB_UNAVAILABLE (55P03) after the time-out, naming the holder of the lock
 */
export async function beginTurn(client: pg.ClientBase, options: TurnOptions): Promise<void> {
  const deadline = performance.now() + options.timeoutMs
  for (let patience = Math.min(SILENT_MS, options.timeoutMs / 2), told = false; ;) {
    if (await tryTurn(client, options.settings, patience)) return
    const holder = await holderOf(client)
    if (!told) options.onWait?.(holder)
    told = true
    patience = deadline - performance.now()
    if (patience <= 0) throw tooLong(holder, options.timeoutMs)
  }
}

/** @returns whether the transaction is begun and has the lock; if not, there is no transaction */
async function tryTurn(
  client: pg.ClientBase,
  settings: Readonly<Record<string, string>>,
  patienceMs: number,
): Promise<boolean> {
  await client.query('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE')
  try {
    await useSettings(client, { ...settings, lock_timeout: String(Math.max(1, Math.trunc(patienceMs))) })
    for (const lock of LOCKS) await client.query('SELECT pg_advisory_xact_lock($1)', [lock])
    await useSettings(client, settings)
    return true
  } catch (error) {
    await client.query('ROLLBACK')
    if ((error as { code?: unknown }).code === '55P03') return false
    throw error
  }
}

/** Settings until the end of this transaction; transaction_timeout is known from PostgreSQL 17 on. */
export async function useSettings(client: pg.ClientBase, settings: Readonly<Record<string, string>>): Promise<void> {
  const all = Object.entries({ ...settings, transaction_timeout: '0' })
  await client.query(
    `SELECT set_config(s.name, s.value, TRUE) FROM unnest($1::text[], $2::text[]) AS s (name, value)
     WHERE s.name IN (SELECT name FROM pg_settings)`,
    [all.map(([name]) => name), all.map(([, value]) => value)],
  )
}

/** The holder of either lock, as far as any user may see another's session. */
async function holderOf(client: pg.ClientBase): Promise<string> {
  const { rows } = await client.query<{ pid: number; application: string | null; user_name: string | null }>(
    `SELECT pid, nullif(application_name, '') AS application, usename AS user_name
     FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
     WHERE locktype = 'advisory' AND granted AND classid = 0 AND objsubid = 1 AND objid = ANY ($1::oid[])
       AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     ORDER BY pid LIMIT 1`,
    [LOCKS],
  )
  const [row] = rows
  if (row === undefined) return 'a session that has just ended'
  return `the server's process ${row.pid} (${row.application ?? 'no application name'}, user ${row.user_name ?? 'unknown'})`
}

function tooLong(holder: string, timeoutMs: number): RecordsError {
  return new RecordsError(
    'DB_UNAVAILABLE',
    `another migration of this database did not end within ${timeoutMs / 1000} s; its lock is held by ${holder}`,
    {
      sqlState: '55P03',
      fix: 'wait for it and try again; if nothing migrates, a connection pooler kept that session: end it with pg_terminate_backend',
    },
  )
}

import { parseArgs } from 'node:util'
import { ConfigError, findEnvFile, loadConfig, tlsOptions } from '@sealfleet/config'
import { oneLine, printable } from '@sealfleet/telemetry/text'
import { RecordsError } from '../db/errors.js'
import { migrate, migrationStatus, type MigrationStatus } from './migrate.js'

const HELP = `Usage: npm run migrate -- [options]

Brings the tables of the records database to this version. Running it again changes nothing, and
processes that run it at the same time take turns. Each migration is one transaction; the table
_prisma_migrations is left as \`prisma migrate deploy\` leaves it.

Options:
  --status       say what is applied and what is not; change nothing (exit status 1 unless up to date)
  --json         print one JSON object
  --config FILE  read variables from this file (default: the nearest .sealfleet/env)
  --help         print this

The database is SEALFLEET_DATABASE_URL (or the file that SEALFLEET_DATABASE_URL_FILE names).
Exit status: 0 done, 1 failed or not up to date, 2 wrong usage or configuration, 6 database out of reach.`

export interface Output {
  readonly out: (line: string) => void
  readonly err: (line: string) => void
}

/** The command with its environment passed in. @returns the exit status */
export async function runMigrateCommand(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
  io: Output,
): Promise<number> {
  // A failure is printed as JSON too, even one of these very options.
  const json = args.includes('--json')
  try {
    const options = parse(args)
    if (options.help) {
      io.out(HELP)
      return 0
    }
    const named = ['SEALFLEET_DATABASE_URL', 'SEALFLEET_DATABASE_URL_FILE'].some((name) => env[name] !== undefined)
    const configFile = options.config ?? (named ? undefined : findEnvFile(cwd))
    const { database } = loadConfig(env, { needs: ['database'], configFile })
    const connection = { connectTimeoutMs: database.connectTimeoutMs, tls: tlsOptions(database.tls) }
    if (options.status) {
      const status = await migrationStatus(database.url.reveal(), connection)
      io.out(json ? JSON.stringify({ database: database.address, ...status }) : describe(status, database.address))
      return status.pending.length + status.failed.length + status.changed.length === 0 ? 0 : 1
    }
    const onWait = (holder: string): void =>
      io.err(oneLine(`waiting for another migration of this database: its lock is held by ${holder}`))
    const { applied } = await migrate(database.url.reveal(), { ...connection, onWait })
    const done = applied.length === 0 ? 'nothing to do' : `applied ${applied.join(', ')}`
    io.out(json ? JSON.stringify({ database: database.address, applied }) : `${database.address}: ${done}`)
    return 0
  } catch (error) {
    return report(error, json, io)
  }
}

function parse(args: readonly string[]): { help: boolean; status: boolean; config: string | undefined } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      status: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      config: { type: 'string' },
    },
  })
  return { help: values.help, status: values.status, config: values.config }
}

function describe(status: MigrationStatus, address: string): string {
  const lines = (what: string, names: readonly string[]): string[] =>
    names.map((name) => `  ${what.padEnd(9)} ${printable(name)}`)
  return [
    address,
    ...lines('applied', status.applied),
    ...lines('pending', status.pending),
    ...lines('failed', status.failed),
    ...lines('changed', status.changed),
    ...lines('unknown', status.unknown),
  ].join('\n')
}

function report(error: unknown, json: boolean, io: Output): number {
  if (error instanceof RecordsError) {
    const { code, message, fix, sqlState } = error
    if (json) io.out(JSON.stringify({ error: { code, message, fix, sqlState } }))
    else io.err(`${code}: ${oneLine(message)}${fix === undefined ? '' : `\nTo mend it: ${oneLine(fix)}.`}`)
    return code === 'DB_UNAVAILABLE' || code === 'DB_TLS' ? 6 : code === 'DB_URL' ? 2 : 1
  }
  const usage = error instanceof ConfigError || (error instanceof TypeError && 'code' in error)
  if (!usage) throw error
  if (json) io.out(JSON.stringify({ error: { code: 'CONFIG_INVALID', message: error.message } }))
  // A ConfigError has one line per problem, each made printable separately.
  else io.err(error instanceof ConfigError ? error.message : oneLine(error.message))
  return 2
}

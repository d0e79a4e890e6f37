import pg from 'pg'
import type { DatabaseAddress } from './database-url.js'
import { startupSettings, type SessionTimeouts } from './session.js'
import { isStalePlan, STALE_PLAN } from './statement-names.js'
import { exactTimes, type TypeParsers } from './times.js'

interface PrismasQuery {
  readonly name?: string | undefined
  readonly types: TypeParsers
}

type Callback = (error: unknown, ...rest: unknown[]) => void

/**
 * A class of the driver's clients whose sessions begin with our settings: as start-up parameters, which override every
 * default and cost no round trip. The driver's own (PGOPTIONS among them) are not sent.
 */
export function clientClass(
  address: DatabaseAddress,
  applicationName: string,
  timeouts: SessionTimeouts,
): typeof pg.Client {
  const startup = {
    user: address.user,
    database: address.database,
    application_name: (address.applicationName ?? applicationName).slice(0, 63),
    ...startupSettings(address, timeouts),
  }
  return class PinnedClient extends pg.Client {
    /** Part of the names of statements: a stale plan makes all of them new ones. */
    #plans = 0

    constructor(config?: pg.ClientConfig) {
      super(config)
      const query = this.query.bind(this) as (...args: unknown[]) => unknown
      const ask = (first: unknown, rest: readonly unknown[]): unknown => query(this.#prepared(first), ...rest)
      const exact = (first: unknown, ...rest: unknown[]): unknown => {
        const told = rest.findIndex((argument) => typeof argument === 'function')
        if (told === -1) {
          const answer = ask(first, rest)
          if (!(answer instanceof Promise)) return answer
          return answer.catch((error: unknown) =>
            this.#mayAskAgain(first, error) ? ask(first, rest) : rethrown(error),
          )
        }
        const callback = rest[told] as Callback
        const answered: Callback = (error, ...results) => {
          explain(error)
          callback(error, ...results)
        }
        const once: Callback = (error, ...results) => {
          if (this.#mayAskAgain(first, error)) ask(first, rest.with(told, answered))
          else answered(error, ...results)
        }
        return ask(first, rest.with(told, once))
      }
      Object.assign(this, { query: exact })
    }

    /** Called by the driver (pg/lib/client.js); client_encoding is always sent as UTF8 besides. */
    getStartupConf(): Readonly<Record<string, string>> {
      return startup
    }

    /** The query with parsers that read times exactly, under a name that this session has no stale plan of. */
    #prepared(query: unknown): unknown {
      if (!isPrismas(query)) return query
      const types = exactTimes(query.types)
      return { ...query, types, ...(isNamed(query) && this.#plans > 0 && { name: `${query.name}_${this.#plans}` }) }
    }

    /** Whether the query may succeed under a new name. A transaction has failed with it: only the next one can. */
    #mayAskAgain(query: unknown, error: unknown): boolean {
      if (!isPrismas(query) || !isNamed(query) || !isStalePlan(error)) return false
      this.#plans++
      return this.getTransactionStatus() === 'I'
    }
  }
}

/** Prisma's adapter brings its own parsers, which read every offset as zero (7.10.0, seen 2026-11-30). */
function isPrismas(query: unknown): query is PrismasQuery {
  return typeof query === 'object' && query !== null && 'types' in query && query.types !== undefined
}

function isNamed(query: PrismasQuery): query is PrismasQuery & { readonly name: string } {
  return (query.name ?? '') !== ''
}

/**
 * Prisma's adapter drops the name of a refusing CHECK, which the server sends in its own field (7.10.0, seen
 * 2026-11-30). The server's sentence has the name too, but only the English one can be parsed (lc_messages): in any
 * other language the name is put first, as in the messages of our triggers.
 */
function nameRule(error: unknown): void {
  if (!(error instanceof pg.DatabaseError) || error.constraint === undefined) return
  const { constraint: rule, message } = error
  if (!message.includes(`constraint "${rule}"`) && !message.startsWith(`${rule}: `))
    error.message = `${rule}: ${message}`
}

/** Prisma's adapter drops the server's routine too: of the two SQLSTATEs of a stale plan, one is enough above. */
function explain(error: unknown): void {
  nameRule(error)
  if (isStalePlan(error)) Object.assign(error as pg.DatabaseError, { code: STALE_PLAN })
}

function rethrown(error: unknown): never {
  explain(error)
  throw error
}

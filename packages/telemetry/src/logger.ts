import { pino, type DestinationStream, type Logger as Pino } from 'pino'
import { allowedFields, type LogFields } from './fields.js'
import { scrubText } from './scrub.js'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** One call: fields of the list and a message, or a message alone. There is no `%s`: variable parts are fields. */
export interface LogCall {
  (fields: LogFields, message: string): void
  (message: string): void
}

/** The part of pino that cannot leak. */
export interface Logger {
  readonly level: string
  readonly trace: LogCall
  readonly debug: LogCall
  readonly info: LogCall
  readonly warn: LogCall
  readonly error: LogCall
  readonly fatal: LogCall
  /** a logger whose lines all have these fields */
  child(fields: LogFields): Logger
}

export interface LoggerOptions {
  /** the program: worker, ops, sealfleet */
  readonly name: string
  readonly level?: LogLevel
  /** the destination of lines; default standard output */
  readonly destination?: DestinationStream
  /** configured secrets, verbatim, so that not even a message can hold one by accident */
  readonly secrets?: readonly string[]
}

/** A logger of JSON lines with time in ISO 8601. */
export function createLogger({ name, level = 'info', destination, secrets = [] }: LoggerOptions): Logger {
  const options = {
    name,
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (safe: unknown) => safe },
  }
  // Written at once: by default pino writes later, so that a dying process lost its last lines, or a fatal line, which
  // is flushed, came before the warning that explains it (2 of 50 starts).
  return wrap(pino(options, destination ?? pino.destination({ dest: 1, sync: true })), secrets)
}

type Level = Exclude<LogLevel, 'silent'>

function wrap(target: Pino, secrets: readonly string[]): Logger {
  const call = (level: Level): LogCall => {
    return (first: LogFields | string, message?: string): void => {
      if (!target.isLevelEnabled(level)) return
      const fields: unknown = first
      const given = typeof fields === 'object' && fields !== null ? fields : {}
      // An error passed directly to the logger means `err`.
      const allowed = allowedFields(given instanceof Error ? { err: given } : given, secrets)
      target[level](allowed, scrubText(typeof first === 'string' ? first : String(message ?? ''), secrets))
    }
  }
  return {
    get level() {
      return target.level
    },
    trace: call('trace'),
    debug: call('debug'),
    info: call('info'),
    warn: call('warn'),
    error: call('error'),
    fatal: call('fatal'),
    child: (fields) => wrap(target.child(allowedFields(fields, secrets)), secrets),
  }
}

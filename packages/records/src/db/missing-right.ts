import { RecordsError } from './errors.js'

/** A right that the database's user lacks, in PostgreSQL's words: INSERT on "table audit_log". */
export interface MissingRight {
  readonly right: 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE' | undefined
  /** As the server names it, e.g. `table audit_log`. */
  readonly object: string
}

const DENIED = /permission denied for ((?:table|relation|view|sequence|schema|function) [\w."]+)/

/**
 * The missing right behind a refusal with SQLSTATE 42501; undefined for other refusals. The server names the object but
 * not the operation, which is found in the statement. In another language (lc_messages) the sentence differs and the
 * name does not, so the table is the one in the statement that the sentence names.
 * @param sql the refused statement; without it the right is unknown
 */
export function missingRight(message: string, sql: string | undefined): MissingRight | undefined {
  const object = DENIED.exec(message)?.[1] ?? tableNamed(message, sql)
  if (object === undefined) return undefined
  const [kind, name = ''] = object.split(' ')
  const isTable = kind === 'table' || kind === 'relation' || kind === 'view'
  return { right: sql === undefined || !isTable ? undefined : rightIn(sql, name), object }
}

const TABLES = /\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:ONLY\s+)?(?:"?\w+"?\.)?"?(\w+)"?/gi

function tableNamed(message: string, sql = ''): string | undefined {
  const words = new Set(message.match(/\w+/g))
  const table = [...sql.matchAll(TABLES)].map(([, name = '']) => name).find((name) => words.has(name))
  return table === undefined ? undefined : `table ${table}`
}

function rightIn(sql: string, table: string): MissingRight['right'] {
  const named = table.replace(/[^\w]/g, '')
  const verbs = { INSERT: 'INSERT\\s+INTO', UPDATE: 'UPDATE', DELETE: 'DELETE\\s+FROM' } as const
  for (const [right, verb] of Object.entries(verbs) as [keyof typeof verbs, string][])
    if (new RegExp(`\\b${verb}\\s+"?${named}\\b`, 'i').test(sql)) return right
  // Locking a row needs the right to change it.
  return /\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE|KEY\s+SHARE)\b/i.test(sql) ? 'UPDATE' : 'SELECT'
}

/** The refusal, worded so that the reader knows whose rights to check. @param cause the server's own sentence */
export function lacksRight({ right, object }: MissingRight, cause?: string): RecordsError {
  const message = `the user in SEALFLEET_DATABASE_URL lacks a right: ${right ?? 'use'} on ${object}`
  return new RecordsError('DB_ACCESS_DENIED', message, {
    ...(cause !== undefined && { cause: new Error(cause) }),
    sqlState: '42501',
    fix:
      right === 'SELECT'
        ? 'let the owner of the tables give it: GRANT SELECT ON ALL TABLES IN SCHEMA public TO that user (docs/operate/audit.md, “An auditor who cannot decrypt”)'
        : 'run this as the fleet’s own user: what changes something is not for a user that only reads, as an auditor’s is',
  })
}

import { createHash } from 'node:crypto'
import pg from 'pg'

/** A worker uses some thirty statements, the command line all of them: some two hundred. */
export const MOST_NAMES = 300
/** More parameters than any statement has without a list of any length in its text. */
const MOST_PARAMETERS = 40

/** The protocol's unnamed statement, which the next one replaces. */
const UNNAMED = ''

/** Everything else (BEGIN, COMMIT, SET …) has no plan to keep, and without a name it is a single message. */
const HAS_PLAN = /^\s*(?:SELECT|WITH|INSERT|UPDATE|DELETE)\b/i

/** The best plan for a list in a parameter depends on its length, and on the table's size of that moment. */
const HAS_LIST = /(?:=|<>)\s*(?:ANY|ALL)\s*\(|\b(?:unnest|jsonb_array_elements(?:_text)?|jsonb_to_recordset)\s*\(/i

/**
 * Names of prepared statements: under its name a session parses a statement once and keeps its plan. Sessions never
 * forget a name, so names are bounded: a statement beyond the first {@link MOST_NAMES} texts, or with a list of any
 * length, has none, and is parsed and planned every time.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 */
export function statementNames(): (statement: { readonly sql: string; readonly args: unknown[] }) => string {
  const names = new Map<string, string>()
  return ({ sql, args }) => {
    const known = names.get(sql)
    if (known !== undefined) return known
    if (names.size >= MOST_NAMES || args.length > MOST_PARAMETERS) return UNNAMED
    if (!HAS_PLAN.test(sql) || HAS_LIST.test(sql)) return UNNAMED
    const name = `sealfleet_${createHash('sha256').update(sql).digest('hex').slice(0, 32)}`
    names.set(sql, name)
    return name
  }
}

/** feature_not_supported; no statement of ours has another reason for it. */
export const STALE_PLAN = '0A000'

/**
 * The session prepared this statement before a migration changed the type of a column of its result, or made a type
 * again that a parameter has. The server refuses it before it does anything, and will refuse that name for as long as
 * the session lasts.
 */
export function isStalePlan(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  const { code, routine } = error
  // By the server's function: SQLSTATE is wide, and the sentence is in the server's language.
  return (
    (code === STALE_PLAN && routine === 'RevalidateCachedQuery') || (code === 'XX000' && routine === 'getTypeInputInfo')
  )
}

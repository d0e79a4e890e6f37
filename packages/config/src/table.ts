import { CONCERNS } from './load.js'

/** One row of the documented table of variables. */
export interface TableRow {
  readonly name: string
  readonly section: string
  readonly expects: string
  /** `required`, `optional`, or the default */
  readonly presence: string
  readonly description: string
}

/** Every variable in the form of the README's table; a test compares the two. */
export function variableTable(): readonly TableRow[] {
  return Object.entries(CONCERNS).flatMap(([concern, { variables }]) =>
    Object.values(variables).map((variable) => ({
      name: variable.secret === true ? `${variable.name}[_FILE]` : variable.name,
      section: concern,
      expects: variable.expects,
      presence: variable.fallback ?? (variable.optional === true ? 'optional' : 'required'),
      description: variable.description,
    })),
  )
}

import type { Problem } from './problem.js'
import type { Values, Variables } from './variable.js'

/** One concern's variables, the checks between them, and the typed section made of them. */
export interface Concern<T> {
  readonly variables: Variables
  /** problems that only show when every variable alone is fine */
  readonly check: (values: Record<string, unknown>) => readonly Problem[]
  /** what deserves a look but stops nothing */
  readonly warn: (values: Record<string, unknown>) => readonly string[]
  readonly build: (values: Record<string, unknown>) => T
}

/** Ties the types of variables, check and build together; callers beyond see only `Concern<T>`. */
export function defineConcern<V extends Variables, T>(definition: {
  variables: V
  check?: (values: Values<V>) => readonly Problem[]
  warn?: (values: Values<V>) => readonly string[]
  build: (values: Values<V>) => T
}): Concern<T> {
  const { variables, check, warn, build } = definition
  return {
    variables,
    // The reader fills each property by the schema of its variable, so the values have the shape Values<V>.
    check: (values) => check?.(values as Values<V>) ?? [],
    warn: (values) => warn?.(values as Values<V>) ?? [],
    build: (values) => build(values as Values<V>),
  }
}

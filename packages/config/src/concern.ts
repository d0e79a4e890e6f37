import type { Problem } from './problem.js'
import type { Values, Variables } from './variable.js'

/** Why a secret's file that another process will read is not used, or undefined. */
export type FileFault = (path: string) => string | undefined

/** One concern's variables, the checks between them, and the typed section made of them. */
export interface Concern<T> {
  readonly variables: Variables
  /** problems between variables that are each fine alone */
  readonly check: (values: Record<string, unknown>, fileFault: FileFault) => readonly Problem[]
  readonly build: (values: Record<string, unknown>) => T
}

/** Connects the types of variables, check and build; callers see only `Concern<T>`. */
export function defineConcern<V extends Variables, T>(definition: {
  variables: V
  check?: (values: Values<V>, fileFault: FileFault) => readonly Problem[]
  build: (values: Values<V>) => T
}): Concern<T> {
  const { variables, check, build } = definition
  return {
    variables,
    // The reader fills each property by the schema of its variable, so the values have the shape Values<V>.
    check: (values, fileFault) => check?.(values as Values<V>, fileFault) ?? [],
    build: (values) => build(values as Values<V>),
  }
}

import { AsyncLocalStorage } from 'node:async_hooks'
import type { Io } from '../io.js'

/** How one run of a command formats text; JSON does not depend on it. */
export interface View {
  /** times in UTC, and not in the zone of the machine (TZ) */
  readonly utc: boolean
  /** width limit of tables, in columns; undefined off a terminal and with --wide */
  readonly columns: number | undefined
}

/** The options of every command for this. */
export interface ViewOptions {
  readonly utc?: boolean
  readonly wide?: boolean
}

// Times and tables are formatted in about a hundred places, most of them far from the options: passed along, this would
// be
// a parameter of nearly every function that prints.
const views = new AsyncLocalStorage<View>()
const PLAIN: View = { utc: true, columns: undefined }

export function inView<T>({ stdout }: Pick<Io, 'stdout'>, o: ViewOptions, work: () => Promise<T>): Promise<T> {
  const fits = stdout.isTTY === true && o.wide !== true && (stdout.columns ?? 0) > 0
  return views.run({ utc: o.utc === true, columns: fits ? stdout.columns : undefined }, work)
}

/** The view of the command that runs; outside of one, UTC and tables of full width. */
export function currentView(): View {
  return views.getStore() ?? PLAIN
}

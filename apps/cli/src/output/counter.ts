import type { Io } from '../io.js'
import { createStatusLine } from './status-line.js'

/** Shows the progress of a walk of unknown length. */
export interface Counter {
  update(n: number): void
  stop(): void
}

export function createCounter(io: Io, o: { readonly noun: string; readonly quiet: boolean }): Counter {
  const line = createStatusLine(io, o)
  return { update: (n) => line.show(`${n} ${o.noun}`), stop: () => line.stop() }
}

import type { Io } from '../io.js'
import { createStatusLine } from './status-line.js'

/** How far a walk of unknown length is. */
export interface Counter {
  update(n: number): void
  stop(): void
}

export function createCounter(io: Io, o: { readonly noun: string; readonly quiet: boolean }): Counter {
  const line = createStatusLine(io, o)
  return { update: (n) => line.show(`${n} ${o.noun}`), stop: () => line.stop() }
}

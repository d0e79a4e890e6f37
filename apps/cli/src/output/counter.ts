import type { Io } from '../io.js'

/** How far a walk of unknown length is: one line that is rewritten on a terminal, a line now and then elsewhere. */
export interface Counter {
  update(n: number): void
  stop(): void
}

const TERMINAL_MS = 100
const LINE_MS = 5_000

export function createCounter({ stderr }: Io, o: { readonly noun: string; readonly quiet: boolean }): Counter {
  if (o.quiet) return { update() {}, stop() {} }
  const terminal = stderr.isTTY === true
  let last = performance.now()
  let shown = false
  return {
    update: (n) => {
      const now = performance.now()
      if (now - last < (terminal ? TERMINAL_MS : LINE_MS)) return
      last = now
      shown = true
      stderr.write(terminal ? `\r\u001b[K${n} ${o.noun}` : `${n} ${o.noun}\n`)
    },
    stop: () => {
      if (terminal && shown) stderr.write('\r\u001b[K')
      shown = false
    },
  }
}
